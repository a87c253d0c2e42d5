"""Several images in one: mosaic, mixup, copy-paste."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from backbonekit.contract.options import Probability, Range
from backbonekit.contract.targets import PER_OBJECT_KEYS
from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.resize import Factor, Size, fitting, jittered
from backbonekit.data.augmentation.sample import Sample, happens, uniform
from backbonekit.errors import ContractError


class Mosaic:
    """Four images around a point, each cut to its quarter; the processor does not resize any more.

    `probability`: of the four; otherwise the image alone, in the same size. `size`: (height, width) of the whole.
    `smallest`, `largest`: bounds of the factor of each image; 1 is the largest that fits into the whole.

    Source: YOLOv4 (Bochkovskiy et al., 2020), section 3.3.
    """

    sets_size = True

    def __init__(
        self,
        *,
        probability: Probability = 0.5,
        size: Size = (640, 640),
        smallest: Factor = 0.5,
        largest: Factor = 1.0,
    ) -> None:
        self.probability = probability
        self.size = size
        self.smallest = smallest
        self.largest = max(smallest, largest)

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        _refuse(sample, "mosaic", ("class",))
        if not happens(self.probability):
            return jittered(sample, self.size, 1.0)
        height, width = self.size
        row, column = round(height * uniform(0.25, 0.75)), round(width * uniform(0.25, 0.75))
        quarters = [(0, 0), (0, column), (row, 0), (row, column)]
        parts = [sample, other(), other(), other()]
        placed = [self._quarter(part, corner, (row, column)) for part, corner in zip(parts, quarters, strict=True)]
        _same_kind(placed)
        image = torch.cat([torch.cat([part.image for part in pair], dim=2) for pair in (placed[:2], placed[2:])], dim=1)
        target = dict(sample.target)
        for key in ("segmentation", "depth"):
            if key in target:
                rows = [torch.cat([part.target[key] for part in pair], dim=1) for pair in (placed[:2], placed[2:])]
                target[key] = torch.cat(rows, dim=0)
        on_whole = [_moved(part, corner, self.size) for part, corner in zip(placed, quarters, strict=True)]
        return replace(sample, image=image, target={**_current(target), **_objects_of(on_whole)})

    def _quarter(self, sample: Sample, corner: tuple[int, int], centre: tuple[int, int]) -> Sample:
        """The image against the centre point, cut to its quarter."""
        factor = uniform(self.smallest, self.largest)
        resized = fitting(sample.size, (self.size[0] * factor, self.size[1] * factor))
        lengths, offsets = [], []
        for axis in range(2):
            is_first = corner[axis] == 0
            length = centre[axis] if is_first else self.size[axis] - centre[axis]
            lengths.append(length)
            offsets.append(resized[axis] - length if is_first else 0)  # below 0: a border on the outer side
        return window(sample, (lengths[0], lengths[1]), resized=resized, offset=(offsets[0], offsets[1]))


class Mixup:
    """Two images blended, with the objects of both.

    `probability`: of the second image. `alpha`: of the Beta distribution that the shares of both are drawn from; larger
    is nearer to one half each.

    Source: Zhang et al., "Bag of Freebies for Training Object Detection Neural Networks" (2019), section 3.1.
    """

    sets_size = None

    def __init__(self, *, probability: Probability = 0.5, alpha: Annotated[float, Range(0.01, 1000.0)] = 1.5) -> None:
        self.probability = probability
        self.alpha = alpha

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        _refuse(sample, "mixup", ("class", "segmentation", "depth"))
        if not happens(self.probability):
            return sample
        second = other()
        second = window(second, sample.size, resized=fitting(second.size, sample.size))
        _same_kind([sample, second])
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        blended = share * sample.image.float() + (1 - share) * second.image.float()
        image = blended if sample.image.is_floating_point() else blended.round().to(sample.image.dtype)
        return replace(sample, image=image, target={**_current(sample.target), **_objects_of([sample, second])})


class CopyPaste:
    """Objects of another image, cut out along their masks and pasted over; masks and boxes of what they cover become
    smaller.

    `probability`: of the pasting. `share`: of the other image's objects, each drawn for itself. `smallest`, `largest`:
    bounds of the factor of the other image; 1 is the largest that fits.

    Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method" (2021), section 3.
    """

    sets_size = None

    def __init__(
        self,
        *,
        probability: Probability = 0.5,
        share: Probability = 0.5,
        smallest: Factor = 0.5,
        largest: Factor = 1.5,
    ) -> None:
        self.probability = probability
        self.share = share
        self.smallest = smallest
        self.largest = max(smallest, largest)

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        _refuse(sample, "copy_paste", ("class", "segmentation", "depth", "keypoints"))
        if not happens(self.probability):
            return sample
        second = jittered(other(), sample.size, uniform(self.smallest, self.largest))
        _same_kind([sample, second])
        for one in (sample, second):
            if "masks" not in one.target:
                raise ContractError("copy_paste cuts objects out along their masks, and the targets have none.")
        second = second.select(torch.rand(len(second.target["masks"])) < self.share)
        pasted: Tensor = second.target["masks"].any(dim=0)
        image = torch.where(pasted, second.image, sample.image)
        remains = _uncovered(sample, pasted)
        return replace(sample, image=image, target={**_current(sample.target), **_objects_of([remains, second])})


def _uncovered(sample: Sample, covered: Tensor) -> Sample:
    """Without what `covered`, bool [height, width], hides of the objects."""
    before = sample.target["masks"]
    masks = before & ~covered
    changed = sample.with_target(masks=masks)
    if "boxes" in sample.target and len(masks):
        is_cut = (masks != before).flatten(1).any(dim=1) & masks.flatten(1).any(dim=1)
        boxes = sample.target["boxes"].clone()
        if is_cut.any():
            around = masks_to_boxes(masks[is_cut])
            around[:, 2:] += 1  # the last pixel is inside
            boxes[is_cut] = around
        changed = changed.with_target(boxes=boxes)
    return changed.select(masks.flatten(1).any(dim=1) | ~before.flatten(1).any(dim=1))


def _moved(sample: Sample, corner: tuple[int, int], size: tuple[int, int]) -> Sample:
    """The objects of a part at `corner` (top, left) of a whole of `size`."""
    whole = window(sample, size, offset=(-corner[0], -corner[1]))
    return replace(whole, image=sample.image)


def _objects_of(samples: list[Sample]) -> dict[str, Tensor]:
    """The per-object keys of all samples one behind the other; those that one of them lacks are left out."""
    keys = [key for key in PER_OBJECT_KEYS if all(key in one.target for one in samples)]
    return {key: torch.cat([one.target[key] for one in samples]) for key in keys}


def _current(target: object) -> dict[str, object]:
    """Without the records of one image's objects, and without objects."""
    assert isinstance(target, dict)
    return {key: value for key, value in target.items() if key not in (*PER_OBJECT_KEYS, "iscrowd", "area")}


def _refuse(sample: Sample, name: str, keys: tuple[str, ...]) -> None:
    found = [key for key in sample.target if key in keys or "." in key]  # those of one task alone too
    if found:
        raise ContractError(f"{name} mixes images with objects, and the target has {found[0]}. Leave the step out.")


def _same_kind(samples: list[Sample]) -> None:
    kinds = {(one.image.shape[0], one.image.dtype) for one in samples}
    if len(kinds) > 1:
        shown = " and ".join(sorted(f"{channels} channels of {str(dtype)[6:]}" for channels, dtype in kinds))
        raise ContractError(f"images of {shown} cannot be one image.")
