"""An image and its target moved together: resized, cut, surrounded, mirrored. Targets move as the processor moves
them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torchvision.transforms.v2.functional as functional
from torch import Tensor
from torchvision.ops import masks_to_boxes

from backbonekit.contract.processing import IMAGENET_MEAN, Geometry
from backbonekit.contract.targets import own_key
from backbonekit.data.augmentation.sample import Sample
from backbonekit.errors import ContractError
from backbonekit.image_processing.coco import cut_boxes
from backbonekit.image_processing.targets import move_target

_SIDES = ("left", "right")
# Keys that are not true any more once pixels have moved.
_OUTDATED = ("area", "iscrowd")


def window(
    sample: Sample, size: tuple[int, int], *, resized: tuple[int, int] | None = None, offset: tuple[int, int] = (0, 0)
) -> Sample:
    """The image resized to `resized` (height, width; None: as it is), and of it the window of `size` at `offset` (top,
    left). Where the window extends beyond the image it has the mean colour, the ignored label, and no mask.

    Objects of which less than a pixel is left leave every key; a box that the window cuts is the one around what its
    mask shows; keypoints outside are not annotated.
    """
    resized = sample.size if resized is None else resized
    geometry = Geometry(sample.size, resized, offset, size, size)
    image = sample.image
    if resized != sample.size:
        image = functional.resize(image, list(resized), antialias=True)
    image, moved = _cut(image, size, offset), {}
    for task, one in sample.by_task().items():
        target: Any = {key: value for key, value in one.target.items() if key not in _OUTDATED}
        shown = _visible(replace(one, image=image, target=move_target(target, geometry, one.ignore_label)))
        moved[task] = (_around_masks(shown) if size != resized else shown).target
    return replace(sample, image=image, target=_joined(moved))


def flipped(sample: Sample, axis: int, keypoint_pairs: tuple[tuple[int, int], ...] | None = None) -> Sample:
    """Mirrored along `axis` of the image: -1 exchanges left and right, -2 top and bottom.

    `keypoint_pairs`: of -1, the numbers of keypoints that change their sides; None: by their names, `left_eye` and
    `right_eye`. Raises ContractError where neither is known.
    """
    targets = {task: _flipped(one, axis, keypoint_pairs) for task, one in sample.by_task().items()}
    return replace(sample, image=sample.image.flip(axis), target=_joined(targets))


def _flipped(sample: Sample, axis: int, keypoint_pairs: tuple[tuple[int, int], ...] | None) -> dict[str, Any]:
    target = dict(sample.target)
    length = sample.image.shape[axis]
    first = 0 if axis == -1 else 1
    for key in ("masks", "segmentation", "depth"):
        if key in target:
            target[key] = target[key].flip(axis)
    if "boxes" in target:
        boxes = target["boxes"].clone()
        boxes[:, [first, first + 2]] = length - target["boxes"][:, [first + 2, first]]
        target["boxes"] = boxes
    if "keypoints" in target:
        points = target["keypoints"].clone()
        points[..., first] = length - points[..., first]
        target["keypoints"] = points[:, _mirrored(points.shape[1], sample, keypoint_pairs)] if axis == -1 else points
    return target


def _joined(targets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One target of those by task."""
    return {own_key(task, key): value for task, target in targets.items() for key, value in target.items()}


def mean_colour(image: Tensor) -> Tensor:
    """[channels, 1, 1]: ImageNet's mean for 8-bit colours, else the image's own."""
    if image.dtype == torch.uint8 and image.shape[0] == 3:
        mean = 255 * torch.tensor(IMAGENET_MEAN)
    else:
        mean = image.float().mean(dim=(1, 2))
    return (mean if image.is_floating_point() else mean.round()).to(image.dtype)[:, None, None]


def _cut(image: Tensor, size: tuple[int, int], offset: tuple[int, int]) -> Tensor:
    (height, width), (top, left) = size, offset
    inside = image[:, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if inside.shape[-2:] == size:
        return inside
    cut = mean_colour(image).expand(-1, height, width).clone()
    above, before = max(-top, 0), max(-left, 0)
    cut[:, above : above + inside.shape[-2], before : before + inside.shape[-1]] = inside
    return cut


def _visible(sample: Sample) -> Sample:
    """Boxes within the image, which a scale leaves by rounding, and none narrower than a pixel."""
    boxes = sample.target.get("boxes")
    if boxes is None:
        return sample
    boxes = cut_boxes(boxes, sample.size)
    return sample.with_target(boxes=boxes).select((boxes[:, 2:] - boxes[:, :2] >= 1).all(dim=1))


def _around_masks(sample: Sample) -> Sample:
    """Without objects whose mask has no pixel left; boxes within the ones around the masks."""
    masks = sample.target.get("masks")
    if masks is None or not len(masks):
        return sample
    sample = sample.select(masks.flatten(1).any(dim=1))
    boxes, masks = sample.target.get("boxes"), sample.target["masks"]
    if boxes is None or not len(boxes):
        return sample
    height, width = sample.size
    touches = ((boxes[:, :2] <= 0) | (boxes[:, 2:] >= boxes.new_tensor([width, height]))).any(dim=1)
    around = masks_to_boxes(masks)
    around[:, 2:] += 1  # the last pixel is inside
    return sample.with_target(boxes=torch.where(touches[:, None], around, boxes))


def _mirrored(count: int, sample: Sample, pairs: tuple[tuple[int, int], ...] | None) -> list[int]:
    """For each keypoint of the mirrored object the number of the one that it was."""
    numbers = list(range(count))
    for one, other in _named_pairs(count, sample) if pairs is None else pairs:
        if max(one, other) >= count:
            raise ContractError(f"keypoint_pairs has {max(one, other)}, and the keypoints are 0 to {count - 1}.")
        numbers[one], numbers[other] = other, one
    return numbers


def _named_pairs(count: int, sample: Sample) -> list[tuple[int, int]]:
    names = () if sample.labels is None else sample.labels.names
    if len(names) != count:
        raise ContractError(
            f"a flip exchanges left and right keypoints, and the names of these {count} are not known. The fix: "
            "data.labels_of=keypoints, or keypoint_pairs of horizontal_flip ([] where none changes sides)."
        )
    left, right = _SIDES
    numbers = {name.lower(): index for index, name in enumerate(names)}
    partners = [(index, numbers.get(name.replace(left, right))) for name, index in numbers.items() if left in name]
    return [(one, other) for one, other in partners if other is not None]
