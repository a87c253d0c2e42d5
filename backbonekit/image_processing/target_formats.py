"""Targets as other libraries write them, in the contract's keys.

Understood are: COCO's annotations, transformers' `class_labels` and `mask_labels`, torchvision's tv_tensors of any box
format, `Detections` of supervision, and Pillow images and NumPy arrays for masks and segmentation. Each is known by its
keys or its class, never by its values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.ops import box_convert

from backbonekit.contract.labels import Labels
from backbonekit.contract.target_checks import check_keys
from backbonekit.contract.target_values import are_inside, check_boxes, check_keypoints, check_relative
from backbonekit.contract.targets import PER_OBJECT_KEYS, Target, TargetReader
from backbonekit.errors import ContractError
from backbonekit.image_processing.coco import cut_boxes, read_annotations
from backbonekit.image_processing.targets import as_target, check_grids
from backbonekit.ops.boxes import cxcywh_to_xyxy


def read_target(
    given: Any,
    size: tuple[int, int],
    *,
    image: int,
    readers: Sequence[TargetReader] = (),
    labels: Labels | None = None,
) -> Target:
    """The target of an image of `size` (height, width) in the contract's keys and types, its values checked.

    Boxes are cut to the image, keypoints outside it become not annotated, and objects that `iscrowd` marks leave every
    key. `image`: its index, for messages. `readers`: what learns from it. `labels`: with category ids, those that
    COCO's annotations have; without, a category id is the class. Raises ContractError for keys that are not read, for
    boxes that are inverted, relative or outside, and for keypoints that are relative or all outside.
    """
    target = _by_keys(given, size, image, readers, labels)
    check_keys(target, image, readers)
    target = as_target({key: _plain(key, value, size, image) for key, value in target.items()})
    if "boxes" in target:
        check_boxes(target["boxes"], size, image=image)
        target["boxes"] = cut_boxes(target["boxes"], size)
    if "keypoints" in target:
        check_keypoints(target["keypoints"], size, image=image)
        target["keypoints"] = _annotated_inside(target["keypoints"], size)
    check_grids(target, size)
    return _without_crowds(target, image)


def is_supervision(given: Any) -> bool:
    """Whether it is a class of supervision, which is never imported here."""
    return type(given).__module__.partition(".")[0] == "supervision"


def is_coco_object(given: Any) -> bool:
    """Whether it is one object of COCO's annotations."""
    return isinstance(given, Mapping) and "bbox" in given and "category_id" in given


def _by_keys(
    given: Any, size: tuple[int, int], image: int, readers: Sequence[TargetReader], labels: Labels | None
) -> Mapping[str, Any]:
    if is_supervision(given):
        return _from_supervision(given)
    if is_coco_object(given):
        return _from_coco([given], size, readers, labels)
    if isinstance(given, Sequence) and not isinstance(given, str):
        return _from_coco(given, size, readers, labels)
    if not isinstance(given, Mapping):
        raise ContractError(
            f"targets[{image}] is of type {type(given).__name__}; a target is a dict such as {{'boxes': ..., 'labels': "
            "...}, COCO's annotations of the image, or supervision's Detections."
        )
    if "annotations" in given:
        return _from_coco(given["annotations"], size, readers, labels)
    if "class_labels" in given:
        return _from_transformers(given, size, image)
    return given


def _from_coco(
    objects: Any, size: tuple[int, int], readers: Sequence[TargetReader], labels: Labels | None
) -> Mapping[str, Any]:
    # Decoding masks takes far longer than all the rest.
    has_masks = not readers or any("masks" in keys for one in readers for keys in one.reads)
    ids = None if labels is None or labels.category_ids is None else labels.category_ids
    categories = None if ids is None else {identifier: index for index, identifier in enumerate(ids)}
    return read_annotations(objects, categories, size=size, with_masks=has_masks)


def _from_transformers(given: Mapping[str, Any], size: tuple[int, int], image: int) -> Mapping[str, Any]:
    """`boxes` beside `class_labels` are centre and size in [0, 1], as transformers' processors write them."""
    target = {key: value for key, value in given.items() if key not in ("class_labels", "mask_labels")}
    target["labels"] = given["class_labels"]
    if "mask_labels" in given:
        target["masks"] = given["mask_labels"]
    if "boxes" in given:
        boxes = torch.as_tensor(given["boxes"], dtype=torch.float32).reshape(-1, 4)
        check_relative(boxes, image=image)
        height, width = size
        target["boxes"] = cxcywh_to_xyxy(boxes) * torch.tensor([width, height, width, height], dtype=torch.float32)
    return target


def _from_supervision(detections: Any) -> Mapping[str, Any]:
    if detections.class_id is None:
        raise ContractError("supervision's Detections without class_id have no classes to learn.")
    target = {"boxes": detections.xyxy, "labels": detections.class_id}
    return target if detections.mask is None else {**target, "masks": detections.mask}


def _plain(key: str, value: Any, size: tuple[int, int], image: int) -> Any:
    """Without the classes of other libraries: a tensor, an array, or what can become one."""
    if isinstance(value, tv_tensors.BoundingBoxes):
        return _xyxy(value, size, image)
    if isinstance(value, Tensor):
        return value.as_subclass(Tensor)
    if key == "masks" and isinstance(value, Sequence):
        return np.stack([np.asarray(one) != 0 for one in value]) if len(value) else np.zeros((0, *size), bool)
    if key == "depth" and isinstance(value, Image.Image):
        return np.array(value)
    return value


def _xyxy(boxes: tv_tensors.BoundingBoxes, size: tuple[int, int], image: int) -> Tensor:
    given = boxes.format.value.lower()
    if tuple(boxes.canvas_size) != size:
        raise ContractError(
            f"targets[{image}]: boxes are of a canvas of {tuple(boxes.canvas_size)}, their image has the size {size}."
        )
    if given not in ("xyxy", "xywh", "cxcywh"):
        raise ContractError(f"targets[{image}]: boxes of the format {given}; known are XYXY, XYWH and CXCYWH.")
    return box_convert(boxes.as_subclass(Tensor).float(), given, "xyxy")


def _annotated_inside(keypoints: Tensor, size: tuple[int, int]) -> Tensor:
    """Keypoints outside the image are not annotated."""
    outside = (keypoints[..., 2] > 0) & ~are_inside(keypoints[..., :2], size)
    visibility = keypoints[..., 2].masked_fill(outside, 0)
    return torch.cat([keypoints[..., :2], visibility[..., None]], dim=-1)


def _without_crowds(target: Target, image: int) -> Target:
    if "iscrowd" not in target:
        return target
    crowds = torch.as_tensor(target["iscrowd"]).bool()  # type: ignore[typeddict-item]
    if not crowds.any():
        return target
    kept: dict[str, Any] = dict(target)
    for key in (*PER_OBJECT_KEYS, "iscrowd", "area"):
        if key in kept:
            value = torch.as_tensor(kept[key])
            if len(value) != len(crowds):
                raise ContractError(f"targets[{image}]: {len(crowds)} iscrowd and {len(value)} {key}.")
            kept[key] = value[~crowds]
    return kept  # type: ignore[return-value]
