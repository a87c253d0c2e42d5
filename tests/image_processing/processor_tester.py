"""The tests that every image processor passes. A concrete test derives from `ProcessorTester` and defines
`processing`."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.processing import Processing
from backbonekit.image_processing.processor import ImageProcessor


class ProcessorTester:
    processing: ClassVar[Processing]
    sizes: ClassVar[list[tuple[int, int]]] = [(33, 47), (1, 1), (50, 20), (64, 64)]

    @pytest.fixture
    def processor(self) -> ImageProcessor:
        return ImageProcessor(self.processing)

    @pytest.fixture
    def images(self) -> list[np.ndarray]:
        generator = np.random.default_rng(0)
        channels = len(self.processing.mean)
        return [generator.integers(0, 256, (*size, channels), dtype=np.uint8) for size in self.sizes]

    def test_a_batch_is_finite_and_masked_where_it_is_padded(self, processor, images):
        batch, geometries = processor.prepare(images)
        values, mask = batch["pixel_values"], batch["pixel_mask"]
        assert values.dtype == torch.float32
        assert values.isfinite().all()
        assert set(batch) == {"pixel_values", "pixel_mask"}
        padded = any(geometry.shown != geometry.canvas for geometry in geometries)
        assert (mask is not None) == padded
        for index, geometry in enumerate(geometries):
            assert geometry.original == self.sizes[index]
            assert geometry.canvas == tuple(values.shape[-2:])
            if mask is None:
                continue
            height, width = geometry.shown
            assert mask[index, :height, :width].all()
            assert mask[index].sum() == height * width
            assert not values[index][:, ~mask[index]].any()

    def test_an_image_does_not_depend_on_its_batch_mates(self, processor, images):
        together = processor(images)["pixel_values"]
        for index, image in enumerate(images):
            alone = processor(image)["pixel_values"][0]
            assert torch.equal(together[index, :, : alone.shape[-2], : alone.shape[-1]], alone)

    def test_sizes_are_multiples_of_the_divisor(self, processor, images):
        if self.processing.canvas is not None:
            pytest.skip("the canvas is of a fixed size")
        height, width = processor(images)["pixel_values"].shape[-2:]
        assert height % self.processing.size_divisor == 0
        assert width % self.processing.size_divisor == 0

    def test_targets_are_transformed_with_their_image(self, processor):
        """After resizing, cropping and padding, the box and mask of a bright patch still fit the patch."""
        image = np.zeros((40, 60, len(self.processing.mean)), dtype=np.uint8)
        image[12:28, 20:44] = 255
        patch = image[..., 0] > 0
        target = {
            "labels": [3],
            "boxes": [[20.0, 12.0, 44.0, 28.0]],
            "masks": patch[None],
            "segmentation": patch.astype(np.uint8),
            "depth": np.where(patch, 2.0, 1.0),
            "keypoints": [[[32.0, 20.0, 2.0]]],
        }
        batch = processor([image, np.zeros_like(image)], [target, {}])
        values = batch["pixel_values"][0, 0] * self.processing.std[0] + self.processing.mean[0]
        bright = values > 0.5
        if batch["pixel_mask"] is not None:
            bright &= batch["pixel_mask"][0]
        moved = batch["targets"][0]
        assert batch["targets"][1] == {}
        assert moved["labels"].tolist() == [3]
        assert moved["masks"].dtype == torch.bool
        for grid in (moved["masks"][0], moved["segmentation"] == 1, moved["depth"] == 2.0):
            assert grid.shape == bright.shape
            assert (grid != bright).float().mean() < 0.03  # the patch's edge is resampled two ways
        rows, columns = bright.nonzero().unbind(1)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.allclose(moved["boxes"][0], seen, atol=1.5)
        x, y, visible = moved["keypoints"][0, 0]
        assert visible == 2
        assert bright[int(y), int(x)]

    def test_padding_is_ignored_in_every_target(self, processor):
        large, small = np.zeros((60, 60, len(self.processing.mean)), np.uint8), Image.new("L", (30, 20))
        small = np.repeat(np.asarray(small)[..., None], len(self.processing.mean), axis=-1)
        grids = {"masks": np.ones((2, 20, 30), bool), "segmentation": np.zeros((20, 30)), "depth": np.ones((20, 30))}
        batch = processor([large, small], [{}, grids])
        if batch["pixel_mask"] is None:
            pytest.skip("this processing pads nothing")
        padding = ~batch["pixel_mask"][1]
        target = batch["targets"][1]
        assert not target["masks"][:, padding].any()
        assert (target["segmentation"][padding] == 255).all()
        assert target["depth"][padding].isnan().all()
        assert (target["segmentation"][~padding] == 0).all()

    def test_targets_without_objects_are_legal(self, processor, images):
        height, width = self.sizes[0]
        empty = {"labels": [], "boxes": [], "masks": np.zeros((0, height, width), bool)}
        target = processor(images[0], empty)["targets"][0]
        assert target["labels"].shape == (0,)
        assert target["boxes"].shape == (0, 4)
        assert target["masks"].shape == (0, *processor(images[0])["pixel_values"].shape[-2:])
