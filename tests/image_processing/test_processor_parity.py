"""Equal numbers and sizes as transformers' Pillow processors."""

import numpy as np
import pytest
from PIL import Image

from backbonekit.contract.processing import Processing
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.image_processing.resize import resize_nearest_as_pillow, resized_size

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(33, 47), (120, 80), (61, 61), (400, 30), (97, 301)]


def images() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def processor_of(folder: str, name: str):
    return getattr(pytest.importorskip(f"transformers.models.{folder}.image_processing_pil_{folder}"), name)


def compare(ours: ImageProcessor, theirs, images) -> None:
    batch, reference = ours(images), theirs(images, return_tensors="pt")
    np.testing.assert_allclose(batch["pixel_values"], reference["pixel_values"], atol=1e-5)
    if "pixel_mask" in reference and batch["pixel_mask"] is not None:
        assert np.array_equal(batch["pixel_mask"], reference["pixel_mask"].bool())


@pytest.mark.parametrize(("shortest", "longest", "divisor"), [(64, 128, 32), (61, 97, 1), (200, 333, 32)])
def test_maskformer(shortest, longest, divisor):
    theirs = processor_of("maskformer", "MaskFormerImageProcessorPil")(
        size={"shortest_edge": shortest, "longest_edge": longest}, size_divisor=divisor, image_mean=MEAN, image_std=STD
    )
    ours = ImageProcessor(Processing(shortest_edge=shortest, longest_edge=longest, size_divisor=divisor))
    compare(ours, theirs, images())


@pytest.mark.parametrize(
    ("interpolation", "resample"), [("bilinear", 2), ("bicubic", 3), ("lanczos", 1), ("nearest", 0)]
)
def test_vit(interpolation, resample):
    theirs = processor_of("vit", "ViTImageProcessorPil")(
        size={"height": 32, "width": 56}, resample=resample, image_mean=(0.5,) * 3, image_std=(0.5,) * 3
    )
    processing = Processing(size=(32, 56), interpolation=interpolation, mean=(0.5,) * 3, std=(0.5,) * 3)
    compare(ImageProcessor(processing), theirs, images())


def test_convnext():
    theirs = processor_of("convnext", "ConvNextImageProcessorPil")(
        size={"shortest_edge": 56}, crop_pct=0.875, image_mean=MEAN, image_std=STD, resample=3
    )
    processing = Processing(shortest_edge=64, crop=(56, 56), interpolation="bicubic")
    compare(ImageProcessor(processing), theirs, images())


def test_bit():
    theirs = processor_of("bit", "BitImageProcessorPil")(
        size={"shortest_edge": 50}, crop_size={"height": 44, "width": 40}, image_mean=MEAN, image_std=STD, resample=3
    )
    processing = Processing(shortest_edge=50, crop=(44, 40), interpolation="bicubic")
    compare(ImageProcessor(processing), theirs, images())


def test_the_torchvision_processors_differ_by_two_rounding_steps():
    theirs = transformers.MaskFormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}, size_divisor=32, image_mean=MEAN, image_std=STD
    )
    ours = ImageProcessor(Processing(shortest_edge=64, longest_edge=128, size_divisor=32))
    difference = ours(images())["pixel_values"] - theirs(images(), return_tensors="pt")["pixel_values"]
    step = 1 / 255 / min(STD)
    assert difference.abs().max() <= 2.01 * step
    assert difference.abs().mean() < 0.05 * step


def test_sizes_equal_those_of_transformers():
    from transformers.image_transforms import get_size_with_aspect_ratio

    generator = np.random.default_rng(1)
    for _ in range(3000):
        height, width = (int(side) for side in generator.integers(1, 3000, 2))
        shortest = int(generator.integers(16, 1200))
        longest = int(generator.integers(shortest, 2000))
        theirs = get_size_with_aspect_ratio((height, width), shortest, longest)
        ours = resized_size((height, width), Processing(shortest_edge=shortest, longest_edge=longest))
        assert ours == tuple(max(side, 1) for side in theirs)


def test_targets_are_resized_to_the_pixels_that_pillow_takes():
    import torch

    generator = np.random.default_rng(2)
    sizes = [((33, 47), (64, 96)), ((100, 70), (31, 17)), ((5, 5), (5, 9)), ((1, 1), (3, 4)), ((64, 96), (40, 60))]
    sizes += [tuple(map(tuple, generator.integers(1, 300, (2, 2)).tolist())) for _ in range(200)]
    for size, new in sizes:
        target = generator.integers(0, 200, size, dtype=np.uint8)
        theirs = np.asarray(Image.fromarray(target).resize((new[1], new[0]), Image.Resampling.NEAREST))
        assert np.array_equal(resize_nearest_as_pillow(torch.from_numpy(target), new), theirs)
