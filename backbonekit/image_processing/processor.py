"""Images to a batch that a model takes: resized, cropped, normalised, padded together, the targets along with them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.label_map import label_map_faults
from backbonekit.contract.labels import Labels
from backbonekit.contract.option_schema import schemas_of
from backbonekit.contract.option_values import faults_of
from backbonekit.contract.processing import Geometry, Processing
from backbonekit.contract.targets import Target, TargetReader
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.batch import canvas_for, pad_together, split_sample
from backbonekit.image_processing.pixels import ImageLike, channels_of, to_pixels
from backbonekit.image_processing.resize import crop_box, resize_pixels, resized_size
from backbonekit.image_processing.target_formats import is_coco_object, is_supervision
from backbonekit.image_processing.target_rules import TargetRules, TargetsByTask, joined, read_by_task, relabel_by_task
from backbonekit.image_processing.targets import move_target, pad_target

_MAX_CHANNELS = 1_024  # of an image; hyperspectral cameras have a few hundred bands
_WIDE = 20  # a range in which a standard deviation of 1 is no image's


class ImageProcessor:
    """Does what `Processing` says. Has no state; equal images have equal results.

    8-bit images are resampled by Pillow, so that the values equal those of transformers' Pillow processors; against
    its torchvision processors they differ by at most two steps of 1/255, where the filter rounds the other way.
    """

    def __init__(
        self,
        processing: Processing,
        labels: Labels | None = None,
        *,
        num_classes: int | None = None,
        readers: Sequence[TargetReader] = (),
        tasks: Mapping[str, TargetRules] = MappingProxyType({}),
    ) -> None:
        """`num_classes`: of the model's segmentations. `readers`: what its tasks learn from. `tasks`: how each of
        several reads them. Raises RecipeError with every fault of `processing`."""
        faults = _faults(processing)
        if faults:
            raise RecipeError(faults)
        self.processing = processing
        self.labels = labels
        self.num_classes = num_classes
        self.readers = tuple(readers)
        self.tasks = dict(tasks)
        self._mean = torch.tensor(processing.mean, dtype=torch.float32)[:, None, None]
        self._std = torch.tensor(processing.std, dtype=torch.float32)[:, None, None]

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        targets: Any = None,
    ) -> dict[str, Any]:
        """`pixel_values` float [batch, channels, height, width], `pixel_mask` bool [batch, height, width] (True where a
        real pixel is) or None when nothing is padded, and `targets` where they were given.

        `images`: one or a list of file names, Pillow images, NumPy arrays [height, width(, channels)] or tensors
        [channels, height, width]; uint8, uint16, or float in [0, 1]; with `processing.range` numbers of any type within
        it. `targets`: one dict an image in the upright
        image's own pixels (`contract/targets.py`), or another library's form (`target_formats.py`). Raises StorageError
        for a file, ContractError for the rest.
        """
        batch, _ = self.prepare(images, targets)
        return batch

    def prepare(
        self,
        images: ImageLike | Sequence[ImageLike],
        targets: Any = None,
    ) -> tuple[dict[str, Any], list[Geometry]]:
        """The batch, and where each image went, which `to_results` needs to come back."""
        images = listed(images)
        matched = _matched(targets, len(images))
        values, geometries = self.prepare_each(images)
        return self.pad(values, geometries, matched)

    def prepare_each(self, images: Sequence[ImageLike]) -> tuple[list[Tensor], list[Geometry]]:
        """Each image alone, [channels, height, width]; its canvas is what is shown of it."""
        pairs = [self._one(image) for image in images]
        return [values for values, _ in pairs], [geometry for _, geometry in pairs]

    def pad(
        self, values: Sequence[Tensor], geometries: Sequence[Geometry], targets: Sequence[Any] | None = None
    ) -> tuple[dict[str, Any], list[Geometry]]:
        """Images that `prepare_each` returned, with targets of the images as given, on one canvas."""
        canvas = canvas_for([geometry.shown for geometry in geometries], self.processing)
        together = [replace(geometry, canvas=canvas) for geometry in geometries]
        moved = None
        if targets is not None:
            labelled = self._read_targets(targets, [geometry.original for geometry in geometries])
            moved = [
                {task: move_target(one, geometry, self.ignore_label_of(task)) for task, one in target.items()}
                for target, geometry in zip(labelled, together, strict=True)
            ]
        return self._padded(values, canvas, moved), together

    def collate(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Batches what a user's own augmentation made; fits `DataLoader(collate_fn=processor.collate)`.

        `samples`: `{"pixel_values": [channels, height, width], "target": {...}}`, or pairs of the two, or pixel values
        alone; already normalised, the targets in these pixels. They are padded together, never resized.
        """
        if not samples:
            raise ContractError("collate was given no samples.")
        pairs = [split_sample(sample) for sample in samples]
        values = [pixel_values for pixel_values, _ in pairs]
        channels = channels_of(self.processing)
        for pixel_values in values:
            if pixel_values.shape[0] != channels:
                raise ContractError(
                    f"the model takes {channels} channels; a sample has shape {list(pixel_values.shape)} "
                    "(channels, height, width)."
                )
        canvas = canvas_for([_size(value) for value in values], self.processing)
        targets = None
        if any(target is not None for _, target in pairs):
            sizes = [_size(pixel_values) for pixel_values in values]
            targets = self._read_targets([{} if target is None else target for _, target in pairs], sizes)
        return self._padded(values, canvas, targets)

    @property
    def ignore_label(self) -> int:
        """The label of pixels of a segmentation that belong to no class, and of its padding."""
        return ignored_label(self.processing.ignore_label, self.num_classes)

    def ignore_label_of(self, task: str) -> int:
        """That of one of several tasks, which may have its own."""
        return self.tasks[task].ignore_label if task in self.tasks else self.ignore_label

    def relabelled(self, target: Mapping[str, Any]) -> Target:
        """A target of an image as it was given, with the classes of the model's tasks in place of the labels of the
        files; nothing else of it is read or changed. What a result is compared with."""
        return joined(relabel_by_task(target, {"": self._rules(), **self.tasks}))

    def _read_targets(self, given: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> list[TargetsByTask]:
        """Of images of these (height, width)."""
        rules = {"": self._rules(), **self.tasks}
        pairs = zip(given, sizes, strict=True)
        return [read_by_task(target, size, rules, image=index) for index, (target, size) in enumerate(pairs)]

    def _rules(self) -> TargetRules:
        """Of the keys of all tasks."""
        sharing = [one for one in self.readers if one.task not in self.tasks or not self.tasks[one.task].is_own]
        is_checked = not self.readers or any("segmentation" in keys for one in sharing for keys in one.reads)
        return TargetRules(
            self.ignore_label,
            self.processing.label_map,
            self.readers,
            self.labels if sharing or not self.readers else None,
            num_checked=self.num_classes if is_checked and self.processing.ignore_label is None else None,
        )

    def _padded(
        self, values: Sequence[Tensor], canvas: tuple[int, int], targets: Sequence[TargetsByTask] | None
    ) -> dict[str, Any]:
        batch = pad_together(values, canvas)
        if targets is not None:
            batch["targets"] = [
                joined({task: pad_target(one, canvas, self.ignore_label_of(task)) for task, one in target.items()})
                for target in targets
            ]
        return batch

    def _one(self, image: ImageLike) -> tuple[Tensor, Geometry]:
        """[channels, height, width] before padding; its geometry with the canvas still its own size."""
        pixels = to_pixels(image, channels_of(self.processing), self.processing.range)
        original = (pixels.shape[0], pixels.shape[1])
        resized = resized_size(original, self.processing)
        pixels = resize_pixels(pixels, resized, self.processing.interpolation)
        top, left, height, width = crop_box(resized, self.processing.crop, self.processing.rounding)
        pixels = self._cut(pixels, top, left, height, width)
        values = np.empty((pixels.shape[-1], height, width), dtype=np.float32)
        values[:] = np.moveaxis(pixels, -1, 0)
        normalised = torch.from_numpy(values)
        if pixels.dtype == np.uint8 and self.processing.range is None:
            normalised /= 255
        geometry = Geometry(original, resized, (top, left), (height, width), (height, width))
        return normalised.sub_(self._mean).div_(self._std), geometry

    def _cut(self, pixels: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
        """The crop, surrounded by the border where it is larger than the image."""
        inside = pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        if inside.shape[:2] == (height, width):
            return inside
        cut = np.zeros((height, width, pixels.shape[-1]), dtype=pixels.dtype)
        if self.processing.range is not None:
            cut[:] = self.processing.mean if self.processing.border == "mean" else self.processing.range[0]
        elif self.processing.border == "mean":
            # In steps of 1/255, as timm fills it.
            steps = np.array([round(255 * mean) for mean in self.processing.mean])
            cut[:] = steps if pixels.dtype == np.uint8 else steps / 255
        above, before = max(-top, 0), max(-left, 0)
        cut[above : above + inside.shape[0], before : before + inside.shape[1]] = inside
        return cut


def _size(pixel_values: Tensor) -> tuple[int, int]:
    return pixel_values.shape[-2], pixel_values.shape[-1]


def listed(images: Any) -> list[ImageLike]:
    if isinstance(images, (str, os.PathLike, Image.Image)):
        return [images]
    if isinstance(images, (np.ndarray, Tensor)):
        return list(images) if images.ndim == 4 else [images]
    if not isinstance(images, Sequence):
        raise ContractError(f"images are one image or a list of them; given: {type(images).__name__}.")
    if not images:
        raise ContractError("no images were given.")
    return list(images)


def _matched(targets: Any, count: int) -> list[Any] | None:
    if targets is None:
        return None
    listed = [targets] if isinstance(targets, Mapping) or is_supervision(targets) else list(targets)
    if count == 1 and len(listed) > 1 and all(map(is_coco_object, listed)):
        listed = [listed]  # the objects of the one image
    if len(listed) != count:
        raise ContractError(
            f"{count} images and {len(listed)} targets were given; each image has one dict, or one list of COCO's "
            "annotations."
        )
    return listed


def _faults(processing: Processing) -> list[str]:
    """What no image could be prepared with, one message each: wrong values, then values that do not go together."""
    schemas = schemas_of(Processing)
    per_channel = {name: {**schemas[name], "maxItems": _MAX_CHANNELS} for name in ("mean", "std")}
    faults = [
        fault
        for name, schema in {**schemas, **per_channel}.items()
        for fault in faults_of(f"processing.{name}", getattr(processing, name), schema)
    ]
    if faults:
        return faults
    faults += label_map_faults("processing.label_map", processing.label_map or {})
    if len(processing.mean) != len(processing.std) or not processing.mean:
        faults.append(
            f"processing.mean has {len(processing.mean)} numbers and processing.std {len(processing.std)}; "
            "both have one for each channel."
        )
    faults += _unit_faults(processing)
    by_edges = processing.shortest_edge is not None or processing.longest_edge is not None
    if processing.size is not None and by_edges:
        faults.append("processing.size and processing.shortest_edge/longest_edge are two ways to resize; give one.")
    if processing.max_size is not None and (by_edges or processing.size is not None):
        other = "shortest_edge/longest_edge" if by_edges else "size"
        faults.append(f"processing.max_size and processing.{other} are two ways to resize; give one.")
    if processing.keep_aspect_ratio and processing.size is None:
        faults.append("processing.keep_aspect_ratio needs the size to come near to: give processing.size.")
    if processing.multiple_of > 1 and not processing.keep_aspect_ratio:
        faults.append(
            f"processing.multiple_of={processing.multiple_of} rounds the sides of an image that keeps its aspect"
            " ratio; give processing.keep_aspect_ratio: true, or size_divisor."
        )
    return faults


def _unit_faults(processing: Processing) -> list[str]:
    """Of `range`, and of a mean and std in other units than it."""
    if processing.range is None:
        return []
    low, high = processing.range
    if low >= high:
        return [f"processing.range=[{low:g}, {high:g}]: the lower end comes first."]
    outside = [mean for mean in processing.mean if not low <= mean <= high]
    if outside:
        return [
            f"processing.mean has {outside[0]:g}, outside processing.range=[{low:g}, {high:g}]; both are in the "
            "image's own units."
        ]
    # Those of an image in [0, 1], as every published backbone has them, would leave values of thousands.
    if high - low > _WIDE and max(processing.mean) <= 1 and min(processing.mean) >= 0 and max(processing.std) <= 1:
        return [
            f"processing.mean and std are those of an image in [0, 1]; with processing.range=[{low:g}, {high:g}] they "
            "are in the image's own units. The fix: leave mean and std out, and the backbone's are converted."
        ]
    return []
