"""Targets in step with their image: resized, cropped and padded with it."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.contract.targets import IGNORE_LABEL, PER_OBJECT_KEYS, Target
from backbonekit.errors import ContractError
from backbonekit.image_processing.class_map import class_map
from backbonekit.image_processing.resize import resize_nearest_as_pillow

# key -> the value in the padding; None: the ignored label. The keys that have a pixel grid of their own.
_GRIDS: dict[str, float | None] = {"masks": 0, "segmentation": None, "depth": float("nan")}
_DTYPES = {
    "labels": torch.int64,
    "boxes": torch.float32,
    "masks": torch.bool,
    "segmentation": torch.int64,
    "depth": torch.float32,
    "keypoints": torch.float32,
    "class": torch.int64,
}


def as_target(target: Mapping[str, Any]) -> Target:
    """Tensors of the contract's dtypes from arrays or lists; keys that record where it came from pass through."""
    tensors: dict[str, Any] = {}
    for key, value in target.items():
        dtype = _DTYPES.get(key)
        if key == "segmentation":
            tensors[key] = class_map(value)
        elif key == "class" and torch.as_tensor(value).ndim:  # several labels an image: 0 or 1 for each class
            tensors[key] = torch.as_tensor(value).float()
        elif dtype is torch.int64:
            tensors[key] = _whole(key, torch.as_tensor(value))
        else:
            tensors[key] = value if dtype is None else torch.as_tensor(value).to(dtype)
    if "boxes" in tensors and tensors["boxes"].numel() == 0:
        tensors["boxes"] = tensors["boxes"].reshape(0, 4)  # an empty list has no second dimension
    return tensors  # type: ignore[return-value]


def _whole(key: str, numbers: Tensor) -> Tensor:
    """int64, of whole numbers of any type. Raises ContractError for others, which name no class."""
    if numbers.is_floating_point() and not torch.equal(numbers, numbers.round()):
        raise ContractError(f"{key} holds {numbers.flatten().tolist()[:5]}; a class is a whole number.")
    return numbers.to(torch.int64)


def move_target(target: Target, geometry: Geometry, ignore_label: int = IGNORE_LABEL) -> Target:
    """From the upright image's own pixels to the input's, before padding.

    Boxes [N, 4] (xyxy) and keypoints [N, K, 3] are scaled and shifted; masks, segmentation and depth take their nearest
    pixel, and the border of a small image in a larger crop has their padding. Where a centre crop cuts: boxes are cut
    to it, points outside become invisible, and an object that lies outside altogether leaves every per-object key.
    Labels are otherwise untouched.
    """
    check_grids(target, geometry.original)
    height, width = geometry.original
    top, left = geometry.crop_offset
    shown_height, shown_width = geometry.shown
    scale_y, scale_x = geometry.resized[0] / height, geometry.resized[1] / width
    cropped = geometry.shown != geometry.resized
    moved: dict[str, Any] = dict(target)
    for key in _GRIDS:
        if key in moved:
            grid = resize_nearest_as_pillow(moved[key], geometry.resized)
            inside = grid[..., max(top, 0) : top + shown_height, max(left, 0) : left + shown_width]
            start = max(-top, 0), max(-left, 0)
            moved[key] = _surrounded(inside, start, geometry.shown, _filling(key, ignore_label)).contiguous()
    if "boxes" in moved:
        scale = torch.tensor([scale_x, scale_y, scale_x, scale_y])
        boxes = moved["boxes"] * scale - torch.tensor([left, top, left, top], dtype=torch.float32)
        moved["boxes"] = _cut_boxes(boxes, geometry.shown) if cropped else boxes
    if "keypoints" in moved:
        points = moved["keypoints"] * torch.tensor([scale_x, scale_y, 1.0]) - torch.tensor([left, top, 0.0])
        moved["keypoints"] = _hide_points(points, geometry.shown) if cropped else points
    return _drop_unseen(moved) if cropped else moved  # type: ignore[return-value]


def check_grids(target: Target, size: tuple[int, int]) -> None:
    """Masks, segmentation and depth must have their image's (height, width); ContractError otherwise."""
    for key in _GRIDS:
        grid: Tensor | None = target.get(key)  # type: ignore[assignment]
        if grid is not None and tuple(grid.shape[-2:]) != size:
            raise ContractError(
                f"target {key!r} has shape {list(grid.shape)}, its image {size[0]} x {size[1]} pixels "
                "(upright, if its EXIF note turns it); the last two must agree."
            )


def pad_target(target: Target, canvas: tuple[int, int], ignore_label: int = IGNORE_LABEL) -> Target:
    """Grids padded at the bottom and right: masks with False, segmentation with the ignored label, depth with NaN."""
    padded: dict[str, Any] = dict(target)
    for key in _GRIDS:
        if key in padded:
            padded[key] = _surrounded(padded[key], (0, 0), canvas, _filling(key, ignore_label))
    return padded  # type: ignore[return-value]


def _filling(key: str, ignore_label: int) -> float:
    value = _GRIDS[key]
    return ignore_label if value is None else value


def _surrounded(grid: Tensor, start: tuple[int, int], size: tuple[int, int], filling: float) -> Tensor:
    """The grid [..., height, width] at `start` (top, left) of a larger one of `size`, `filling` around it."""
    height, width = grid.shape[-2:]
    if (height, width) == size:
        return grid
    if not grid.numel():
        return grid.new_zeros((*grid.shape[:-2], *size))
    top, left = start
    margins = (left, size[1] - width - left, top, size[0] - height - top)
    return functional.pad(grid, margins, value=bool(filling) if grid.dtype == torch.bool else filling)


def _cut_boxes(boxes: Tensor, shown: tuple[int, int]) -> Tensor:
    height, width = shown
    return torch.stack(
        [
            boxes[:, 0].clamp(0, width),
            boxes[:, 1].clamp(0, height),
            boxes[:, 2].clamp(0, width),
            boxes[:, 3].clamp(0, height),
        ],
        dim=1,
    )


def _hide_points(points: Tensor, shown: tuple[int, int]) -> Tensor:
    inside = (points[..., 0] >= 0) & (points[..., 0] <= shown[1]) & (points[..., 1] >= 0) & (points[..., 1] <= shown[0])
    return torch.stack([points[..., 0], points[..., 1], points[..., 2] * inside], dim=-1)


def _drop_unseen(target: dict[str, Any]) -> dict[str, Any]:
    """Without the objects of which nothing is left in the crop, by their box, else by their mask."""
    if "boxes" in target:
        boxes = target["boxes"]
        seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    elif "masks" in target:
        seen = target["masks"].flatten(1).any(dim=1)
    else:
        return target
    return {key: value[seen] if key in PER_OBJECT_KEYS else value for key, value in target.items()}
