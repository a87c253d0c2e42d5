"""COCO's annotations as targets: boxes, classes, masks, keypoints; polygons and run lengths to masks.

Source of the compressed run lengths: github.com/cocodataset/cocoapi `common/maskApi.c: rleFrString`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbonekit.contract.labels import Labels
from backbonekit.contract.target_values import check_boxes
from backbonekit.contract.targets import Target
from backbonekit.errors import ContractError

Annotations = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Categories = Mapping[int, int] | Sequence[Mapping[str, Any]] | Labels


def coco_targets(
    annotations: Annotations, categories: Categories | None = None, *, size: tuple[int, int] | None = None
) -> Target:
    """The target of one image from its COCO annotations: `boxes`, `labels`, `keypoints` where all objects have them.

    `annotations`: the list of the image's objects, or `{"image_id": ..., "annotations": [...]}`. `categories`: those
    of the COCO file, `[{"id": 18, "name": "dog"}, ...]`; the class of an object is the position of its category in this
    list. Or a mapping of category id to class, or the labels of a model or of one of its tasks, whose category ids they
    are; None: a category id is the class. `size`: (height, width) of the image: boxes are cut to it, and `masks` are
    made where every object has a segmentation.

    Crowds (`iscrowd`) and boxes without an area are left out. Raises ContractError for an object without bbox or
    category_id, an unknown category, a negative width, and a box outside the image.
    """
    target = read_annotations(annotations, categories, size=size)
    boxes = target.get("boxes")
    if size is not None and boxes is not None:
        check_boxes(boxes, size, image=0)
        target["boxes"] = cut_boxes(boxes, size)
    return target


def read_annotations(
    annotations: Annotations,
    categories: Categories | None,
    *,
    size: tuple[int, int] | None,
    with_masks: bool = True,
    with_crowds: bool = False,
) -> Target:
    """As `coco_targets`, the boxes neither checked nor cut. `with_masks`: decode them where a size is given.
    `with_crowds`: keep crowds too, and the keys `iscrowd` and `area` of each object."""
    classes = _classes(categories)
    objects = [checked_object(one) for one in _objects(annotations)]
    objects = [one for one in objects if with_crowds or not one.get("iscrowd", 0)]
    kept = [one for one in objects if one["bbox"][2] > 0 and one["bbox"][3] > 0]
    boxes = torch.tensor([list(map(float, one["bbox"])) for one in kept], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = [_class_of(one["category_id"], classes) for one in kept]
    target: Target = {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}
    if kept and all("keypoints" in one for one in kept):
        points = torch.tensor([one["keypoints"] for one in kept], dtype=torch.float32)
        target["keypoints"] = points.reshape(len(kept), -1, 3)
    if with_masks and size is not None and all(one.get("segmentation") for one in kept):
        masks = [object_mask(one["segmentation"], size) for one in kept]
        target["masks"] = torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool)
    return target | _records(kept) if with_crowds else target  # type: ignore[return-value]


def _records(objects: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """What evaluation reads of objects beside what is learned; an area that is not given is the box's."""
    areas = [float(one.get("area", one["bbox"][2] * one["bbox"][3])) for one in objects]
    crowds = [bool(one.get("iscrowd", 0)) for one in objects]
    return {"area": torch.tensor(areas, dtype=torch.float32), "iscrowd": torch.tensor(crowds, dtype=torch.bool)}


def cut_boxes(boxes_xyxy: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [N, 4] within an image of `size` (height, width)."""
    limits = boxes_xyxy.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes_xyxy.clamp(min=0), limits)


def object_mask(segmentation: Any, size: tuple[int, int]) -> Tensor:
    """bool [height, width]. `segmentation`: polygons, each [x0, y0, x1, y1, ...] in pixels, or run lengths
    `{"size": [height, width], "counts": [...]}`, which start with what is outside; counts may be compressed (text).

    A pixel is inside a polygon when its centre is; several polygons are parts of one object. Raises ContractError for
    what does not go with the image.
    """
    if isinstance(segmentation, Mapping):
        return _from_runs(segmentation, size)
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
        raise ContractError(
            f"a segmentation is a list of polygons, or run lengths; given: {type(segmentation).__name__}."
        )
    mask = np.zeros(size, dtype=bool)
    for polygon in segmentation:
        mask |= _inside(np.asarray(polygon, dtype=np.float64), size)
    return torch.from_numpy(mask)


def _classes(categories: Categories | None) -> Mapping[int, int] | None:
    if categories is None or isinstance(categories, Mapping):
        return categories
    if isinstance(categories, Labels):
        return {categories.category_id(index): index for index in range(len(categories.names))}
    if not all(isinstance(one, Mapping) and "id" in one for one in categories):
        raise ContractError(
            'categories are COCO\'s, [{"id": 1, "name": "cat"}, ...], or a mapping of category id to class, {1: 0}.'
        )
    return {int(one["id"]): position for position, one in enumerate(categories)}


def _class_of(category: Any, classes: Mapping[int, int] | None) -> int:
    if classes is None:
        return int(category)
    if category not in classes:
        known = ", ".join(map(str, list(classes)[:20]))
        raise ContractError(f"category_id {category!r} is none of the categories: {known}.")
    return classes[category]


def _objects(annotations: Any) -> Sequence[Any]:
    given = annotations.get("annotations") if isinstance(annotations, Mapping) else annotations
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ContractError(
            'annotations of an image are COCO\'s: [{"bbox": [x, y, width, height], "category_id": 3}, ...], or '
            f'{{"image_id": 7, "annotations": [...]}}; given: {_kind(annotations)}.'
        )
    return given


def checked_object(one: Any) -> Mapping[str, Any]:
    """An object of an annotation with its bbox and category_id. Raises ContractError where one is missing or wrong."""
    box = one.get("bbox") if isinstance(one, Mapping) else None
    if box is None or "category_id" not in one or len(box) != 4:
        raise ContractError(
            f"an object of an annotation has a bbox [x, y, width, height] and a category_id; given: {str(one)[:200]}."
        )
    if box[2] < 0 or box[3] < 0:
        raise ContractError(f"bbox {list(box)} has a negative size; COCO's is x, y, width, height in pixels.")
    return one


def _kind(given: Any) -> str:
    return ", ".join(map(repr, given)) if isinstance(given, Mapping) else type(given).__name__


def _from_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> Tensor:
    counts = segmentation.get("counts")
    if isinstance(counts, (str, bytes)):
        counts = _uncompressed(counts if isinstance(counts, str) else counts.decode("ascii", "replace"))
    if not isinstance(counts, Sequence):
        raise ContractError("run lengths are a list of numbers, or pycocotools' compressed text.")
    height, width = size
    is_of_the_image = tuple(segmentation.get("size", size)) == tuple(size)
    if not is_of_the_image or sum(counts) != height * width or min(counts, default=0) < 0:
        raise ContractError(f"run lengths of {sum(counts)} pixels do not fit an image of {height} x {width}.")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return torch.from_numpy(np.ascontiguousarray(flat.reshape(width, height).T))


def _uncompressed(text: str) -> list[int]:
    """Numbers of 5 bits a character, lowest first, 32 on all but the last; from the fourth on each is the difference
    to the one before last."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ContractError(f"compressed run lengths with the character {character!r}, which they never have.")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    return counts


def _inside(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [height, width]: whose centres have an odd number of edges to their left."""
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
        raise ContractError(
            f"a polygon has three points or more, [x0, y0, x1, y1, ...]; given {polygon.size} numbers"
            f"{'' if np.isfinite(polygon).all() else ', some not finite'}."
        )
    height, width = size
    inside = np.zeros(size, dtype=bool)
    x, y = polygon.reshape(-1, 2).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    # rows: whose centres lie between the two ends of an edge; half open, so that a shared end counts once
    first = np.clip(np.ceil(np.minimum(y, next_y) - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(np.maximum(y, next_y) - 0.5), 0, height).astype(np.int64)
    counts = last - first
    edges = np.repeat(np.arange(len(x)), counts)
    if not len(edges):
        return inside
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
    meets = x[edges] + (rows + 0.5 - y[edges]) * ((next_x - x)[edges] / (next_y - y)[edges])
    columns = np.clip(np.ceil(meets - 0.5), 0, width).astype(np.int64)  # the first centre right of the edge
    top, left = rows.min(), columns.min()
    shape = rows.max() - top + 1, columns.max() - left + 1
    starts = np.bincount((rows - top) * shape[1] + columns - left, minlength=shape[0] * shape[1]).reshape(shape)
    inside[top : top + shape[0], left : left + shape[1] - 1] = (np.cumsum(starts, axis=1) % 2 == 1)[:, :-1]
    return inside
