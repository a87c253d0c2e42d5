"""What an image processor returns, and labels in transformers' form: annotations, segmentation maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import ContractError
from backbonekit.image_processing.coco import checked_object, object_mask
from backbonekit.image_processing.targets import as_target, move_target, pad_target

_EXAMPLES = {
    "annotations": 'for detection, {"image_id": 7, "annotations": [{"bbox": [x, y, width, height], "category_id": 3,'
    ' "area": 60.0, "iscrowd": 0}, ...]}',
    "segments_info": 'for panoptic segmentation, {"image_id": 7, "file_name": "7.png", "segments_info": [{"id": 65793,'
    ' "category_id": 3, "area": 60, "iscrowd": 0}, ...]}',
}


def listed_annotations(given: Any, images: int, key: str) -> list[Mapping[str, Any]]:
    """One mapping for each image, with a list under `key`. Raises ContractError for anything else."""
    listed = [given] if isinstance(given, Mapping) else list(given)
    if len(listed) != images:
        raise ContractError(f"{images} images and {len(listed)} annotations were given; each has one.")
    for one in listed:
        if not isinstance(one, Mapping) or not isinstance(one.get(key), Sequence):
            keys = ", ".join(map(repr, one)) if isinstance(one, Mapping) else type(one).__name__
            raise ContractError(f"an annotation is COCO's {_EXAMPLES[key]}; given: {keys}.")
    return listed


def detection_labels(
    annotation: Mapping[str, Any], geometry: Geometry, *, converts: bool, with_masks: bool
) -> dict[str, Tensor]:
    """`class_labels` int64 [N], `boxes` float [N, 4], `area` float [N], `iscrowd` int64 [N], `image_id` int64 [1],
    `orig_size` and `size` int64 [2], (height, width) of the image and of its pixels in the input; with keypoints
    `keypoints` float [N, K, 3]; `with_masks` bool `masks` [N, *canvas].

    Crowds, and boxes that are empty within the image, are left out. Boxes are centre and size in [0, 1] (`converts`),
    else x0 y0 x1 y1 in pixels of the input. They are relative to the image and not, as in transformers since 4.37,
    to the padded canvas: so a box means the same in every batch, and targets agree with the outputs of
    `post_process_object_detection` and with published weights, which were trained so.
    Keypoints move with the image, which transformers leaves out.
    """
    height, width = geometry.original
    objects = [checked_object(one) for one in annotation["annotations"]]
    objects = [one for one in objects if not one.get("iscrowd", 0)]
    boxes = torch.tensor([one["bbox"] for one in objects], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    boxes = torch.minimum(boxes.clamp(min=0), limits)
    seen = ((boxes[:, 2:] > boxes[:, :2]).all(dim=1)).nonzero()[:, 0]
    target: dict[str, Any] = {"labels": seen, "boxes": boxes[seen]}  # labels: their numbers, to know which are left
    kept = [objects[number] for number in seen.tolist()]
    if objects and all("keypoints" in one for one in objects):
        points = [torch.tensor(one["keypoints"], dtype=torch.float32).reshape(-1, 3) for one in kept]
        target["keypoints"] = torch.stack(points) if points else torch.zeros(0, 0, 3)
    if with_masks:
        masks = [object_mask(one.get("segmentation"), geometry.original) for one in kept]
        target["masks"] = torch.stack(masks) if masks else torch.zeros(0, height, width, dtype=torch.bool)
    return moved_labels(target, objects, annotation.get("image_id", 0), geometry, converts=converts)


def moved_labels(
    target: Mapping[str, Any],
    objects: Sequence[Mapping[str, Any]],
    image_id: Any,
    geometry: Geometry,
    *,
    converts: bool,
) -> dict[str, Tensor]:
    """What `detection_labels` returns, of a target in pixels of the image whose `labels` are positions in `objects`."""
    moved: dict[str, Any] = dict(move_target(as_target(target), geometry))
    kept = [objects[number] for number in moved["labels"].tolist()]
    height, width = geometry.original
    scale = (geometry.resized[0] / height) * (geometry.resized[1] / width)
    labels = {
        "size": torch.tensor(geometry.shown),
        "image_id": torch.tensor([_image_id(image_id)]),
        "class_labels": torch.tensor([int(one["category_id"]) for one in kept], dtype=torch.int64),
        "boxes": _relative(moved["boxes"], geometry.shown) if converts else moved["boxes"],
        "area": torch.tensor([_area(one) * scale for one in kept], dtype=torch.float32),
        "iscrowd": torch.tensor([int(one.get("iscrowd", 0)) for one in kept], dtype=torch.int64),
        "orig_size": torch.tensor(geometry.original),
    }
    if "keypoints" in moved:
        labels["keypoints"] = moved["keypoints"]
    if "masks" in moved:
        padded = torch.zeros(len(kept), *geometry.canvas, dtype=torch.bool)
        padded[:, : geometry.shown[0], : geometry.shown[1]] = moved["masks"]
        labels["masks"] = padded
    return labels


def _image_id(given: Any) -> int:
    try:
        return int(given)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"image_id is {str(given)[:60]!r}; a whole number is expected, as COCO numbers its images."
        ) from error


def _area(one: Mapping[str, Any]) -> float:
    return float(one["area"]) if "area" in one else float(one["bbox"][2]) * float(one["bbox"][3])


def _relative(boxes_xyxy: Tensor, shown: tuple[int, int]) -> Tensor:
    """[N, 4] x0 y0 x1 y1 in pixels -> centre and size in [0, 1]."""
    height, width = shown
    start, end = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return torch.cat([(start + end) / 2, end - start], dim=1) / torch.tensor(
        [width, height, width, height], dtype=boxes_xyxy.dtype
    )


def listed_maps(given: Any, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """One int64 [height, width] for each image. Raises ContractError where they do not go with the images."""
    if isinstance(given, Image.Image) or (isinstance(given, np.ndarray | Tensor) and given.ndim == 2):
        given = [given]
    listed: list[Any] = list(given)
    if len(listed) != len(sizes):
        raise ContractError(f"{len(sizes)} images and {len(listed)} segmentation maps were given; each has one.")
    if any(isinstance(one, Mapping) for one in listed):
        raise ContractError("segmentation maps are [height, width] of labels; boxes of objects go into `annotations`.")
    maps = [torch.as_tensor(np.array(one) if isinstance(one, Image.Image) else one).long() for one in listed]
    maps = [labels[0] if labels.ndim == 3 and labels.shape[0] == 1 else labels for labels in maps]
    for labels, size in zip(maps, sizes, strict=True):
        if tuple(labels.shape) != size:
            raise ContractError(
                f"a segmentation map has shape {list(labels.shape)}, its image {size[0]} x {size[1]} pixels; a map is"
                " [height, width] of its image."
            )
    return maps


def dense_labels(labels: Tensor, geometry: Geometry, *, do_reduce_labels: bool) -> Tensor:
    """int64 [*canvas], resized by its nearest pixel, cropped and padded (255) with its image.

    `do_reduce_labels`: 0 becomes 255, which is no class, and every label but 255 one less.
    """
    if do_reduce_labels:
        labels = torch.where((labels == 0) | (labels == IGNORE_LABEL), IGNORE_LABEL, labels - 1)
    padded = pad_target(move_target({"segmentation": labels}, geometry), geometry.canvas).get("segmentation")
    assert padded is not None
    return padded


def binary_masks(
    labels: Tensor,
    geometry: Geometry,
    classes: Mapping[int, int] | None,
    *,
    do_reduce_labels: bool,
    ignore_index: int | None,
) -> tuple[Tensor, Tensor]:
    """float [masks, *canvas] and int64 [masks], the labels in rising order, resized and padded with their image.

    `classes`: of each instance, where `labels` number instances. `ignore_index`: has no mask. `do_reduce_labels`: 0
    becomes `ignore_index`, which must then be given and stays, and every other label one less.
    """
    if do_reduce_labels and ignore_index is None:
        raise ContractError("do_reduce_labels makes label 0 the ignored one. The fix: an ignore_index, such as 255.")
    moved = move_target({"segmentation": labels}, geometry).get("segmentation")
    assert moved is not None
    if do_reduce_labels:
        assert ignore_index is not None
        moved = torch.where((moved == 0) | (moved == ignore_index), ignore_index, moved - 1)
    present = [label for label in moved.unique().tolist() if label != ignore_index]
    masks = moved[None] == torch.tensor(present, dtype=torch.int64)[:, None, None]
    height, width = moved.shape
    padded = functional.pad(masks.float(), (0, geometry.canvas[1] - width, 0, geometry.canvas[0] - height))
    if classes is None:
        return padded, torch.tensor(present, dtype=torch.int64)
    shift = int(do_reduce_labels)
    missing = [label + shift for label in present if label + shift not in classes]
    if missing:
        raise ContractError(f"instance_id_to_semantic_id has no class for instance {missing[0]}.")
    return padded, torch.tensor([classes[label + shift] - shift for label in present], dtype=torch.int64)
