"""COCO annotations as transformers' detection models take them: classes and boxes of each image, relative to it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.hf_models.coco_masks import object_mask
from backbonekit.image_processing.targets import as_target, move_target


def listed_annotations(given: Any, images: int) -> list[Mapping[str, Any]]:
    """One `{"image_id": ..., "annotations": [...]}` for each image. Raises ContractError for anything else."""
    listed = [given] if isinstance(given, Mapping) else list(given)
    if len(listed) != images:
        raise ContractError(f"{images} images and {len(listed)} annotations were given; each has one.")
    for one in listed:
        if not isinstance(one, Mapping) or not isinstance(one.get("annotations"), Sequence):
            keys = ", ".join(map(repr, one)) if isinstance(one, Mapping) else type(one).__name__
            raise ContractError(
                'an annotation is COCO\'s for detection, {"image_id": 7, "annotations": [{"bbox": [x, y, width,'
                f' height], "category_id": 3, "area": 60.0, "iscrowd": 0}}, ...]}}; given: {keys}.'
            )
    return listed


def detection_labels(
    annotation: Mapping[str, Any], geometry: Geometry, *, converts: bool, with_masks: bool
) -> dict[str, Tensor]:
    """`class_labels` int64 [N], `boxes` float [N, 4], `area` float [N], `iscrowd` int64 [N], `image_id` int64 [1],
    `orig_size` and `size` int64 [2], (height, width) of the image and of its pixels in the input; with keypoints
    `keypoints` float [N, K, 3]; `with_masks` bool `masks` [N, *canvas].

    Crowds, and boxes that are empty within the image, are left out. Boxes are centre and size in [0, 1] (`converts`),
    else x0 y0 x1 y1 in pixels of the input. They are relative to the image and not, as in transformers since 4.37,
    to the padded canvas: so that the same box means the same in every batch, a model's predictions are judged by what
    `post_process_object_detection` makes of them, and published weights, which were trained so, are met.
    Keypoints move with the image, which transformers leaves out.
    """
    height, width = geometry.original
    objects = [_checked(one) for one in annotation["annotations"]]
    objects = [one for one in objects if not one.get("iscrowd", 0)]
    boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    seen = ((boxes[:, 2:] > boxes[:, :2]).all(dim=1)).nonzero()[:, 0]
    truth: dict[str, Any] = {"labels": seen, "boxes": boxes[seen]}  # labels: their numbers, to know who is left
    kept = [objects[number] for number in seen.tolist()]
    if objects and all("keypoints" in one for one in objects):
        points = [torch.tensor(one["keypoints"], dtype=torch.float32).reshape(-1, 3) for one in kept]
        truth["keypoints"] = torch.stack(points) if points else torch.zeros(0, 0, 3)
    if with_masks:
        masks = [object_mask(one.get("segmentation"), geometry.original) for one in kept]
        truth["masks"] = torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.bool)
    moved: dict[str, Any] = dict(move_target(as_target(truth), geometry))
    kept = [objects[number] for number in moved["labels"].tolist()]
    scale = (geometry.resized[0] / height) * (geometry.resized[1] / width)
    labels = {
        "size": torch.tensor(geometry.shown),
        "image_id": torch.tensor([int(annotation.get("image_id", 0))]),
        "class_labels": torch.tensor([int(one["category_id"]) for one in kept], dtype=torch.int64),
        "boxes": _relative(moved["boxes"], geometry.shown) if converts else moved["boxes"],
        "area": torch.tensor([_area(one) * scale for one in kept], dtype=torch.float32),
        "iscrowd": torch.zeros(len(kept), dtype=torch.int64),
        "orig_size": torch.tensor(geometry.original),
    }
    if "keypoints" in moved:
        labels["keypoints"] = moved["keypoints"]
    if with_masks:
        padded = torch.zeros(len(kept), *geometry.canvas, dtype=torch.bool)
        padded[:, : geometry.shown[0], : geometry.shown[1]] = moved["masks"]
        labels["masks"] = padded
    return labels


def _checked(one: Any) -> Mapping[str, Any]:
    box = one.get("bbox") if isinstance(one, Mapping) else None
    if box is None or "category_id" not in one or len(box) != 4:
        raise ContractError(
            f"an object of an annotation has a bbox [x, y, width, height] and a category_id; given: {str(one)[:200]}."
        )
    return one


def _area(one: Mapping[str, Any]) -> float:
    return float(one["area"]) if "area" in one else float(one["bbox"][2]) * float(one["bbox"][3])


def _relative(boxes_xyxy: Tensor, shown: tuple[int, int]) -> Tensor:
    """[N, 4] x0 y0 x1 y1 in pixels -> centre and size in [0, 1]."""
    height, width = shown
    start, end = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return torch.cat([(start + end) / 2, end - start], dim=1) / torch.tensor(
        [width, height, width, height], dtype=boxes_xyxy.dtype
    )
