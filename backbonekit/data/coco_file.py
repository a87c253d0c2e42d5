"""A COCO annotation file, checked: its images, their objects or segments, its categories; every fault with its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbonekit.contract.garbage import nothing_collected
from backbonekit.contract.labels import MAX_NAME, Labels
from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import read_json

# bytes; the annotations of COCO's train2017 with masks have 448 MB, those of Objects365 8 GB
_LARGEST = 16 * 2**30
_NUMBERS = frozenset((int, float))


@dataclass(slots=True)
class CocoFile:
    """`images`: the entries of the file. `objects`: of each image, those that are right. `labels`: the categories to
    learn; `category_ids`: of all. `keypoints`: the names of a category's keypoints, or None. `is_panoptic`: the objects
    are one entry with segments. `faults`: one message for each object that was left out."""

    images: list[Mapping[str, Any]]
    objects: list[list[Mapping[str, Any]]]
    labels: Labels
    category_ids: frozenset[int]
    keypoints: tuple[str, ...] | None
    is_panoptic: bool
    faults: list[str]


def read_coco_file(path: Path, names: Sequence[str] | None = None) -> CocoFile:
    """`names`: only these categories, in this order. Raises StorageError for a file that is no COCO annotation file."""
    with nothing_collected():  # half the time of reading a large file
        return _checked(path, read_json(path, limit=_LARGEST), names)


def _checked(path: Path, content: Mapping[str, Any], names: Sequence[str] | None) -> CocoFile:
    lists = {key: _list_of(path, content, key) for key in ("images", "annotations", "categories")}
    categories = _selected(path, lists["categories"], names)
    images, annotations = lists["images"], lists["annotations"]
    is_panoptic = any("segments_info" in one for one in annotations[:1])
    faults = _image_faults(images)
    if faults:
        raise StorageError(f"{path}: {faults[0]}")
    position = {one["id"]: index for index, one in enumerate(images)}
    if len(position) < len(images):
        raise StorageError(f"{path}: two images have the same id.")
    known = frozenset(one["id"] for one in lists["categories"])
    keypoints = _keypoints(categories)
    counts = 3 * len(keypoints or ())
    wanted = {one["id"] for one in categories}
    objects: list[list[Mapping[str, Any]]] = [[] for _ in images]
    for number, one in enumerate(annotations):
        at = position.get(one.get("image_id"))
        if at is None:
            faults.append(f"annotation {one.get('id', number)}: there is no image with the id {one.get('image_id')!r}.")
            continue
        fault = "" if is_panoptic else _object_fault(one, known, images[at], counts)
        if fault:
            faults.append(f"{images[at]['file_name']}: annotation {one.get('id', number)}: {fault}")
        elif is_panoptic or one["category_id"] in wanted:
            objects[at].append(one)
    return CocoFile(images, objects, _labels(categories), known, keypoints, is_panoptic, faults)


def _list_of(path: Path, content: Mapping[str, Any], key: str) -> list[Any]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise StorageError(
            f"{path}: no COCO annotation file: it has no list {key!r}. Its keys are images, annotations, categories."
        )
    return found


def _selected(path: Path, categories: list[Any], names: Sequence[str] | None) -> list[Any]:
    for one in categories:
        name = one.get("name")
        if type(one.get("id")) is not int or not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise StorageError(f"{path}: a category has an id (a whole number) and a name; given {str(one)[:200]}.")
    if not categories or len({one["id"] for one in categories}) < len(categories):
        raise StorageError(f"{path}: {'no categories' if not categories else 'two categories have the same id'}.")
    if names is None:
        return categories
    by_name = {one["name"]: one for one in categories}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise StorageError(f"{path}: data.names has {unknown[0]!r}; its categories are {', '.join(by_name)[:1000]}.")
    return [by_name[name] for name in names]


def _image_faults(images: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"image {number} has no id and file_name: {str(one)[:200]}."
        for number, one in enumerate(images)
        if type(one.get("id")) not in (int, str) or not isinstance(one.get("file_name"), str)
    ][:1]


def _object_fault(one: Mapping[str, Any], known: frozenset[int], image: Mapping[str, Any], counts: int) -> str:
    """What makes an object unusable; '' where nothing does. A box without an area is no fault: it is left out."""
    category = one.get("category_id")
    if type(category) is not int or category not in known:
        return f"category_id {category!r} is none of the categories."
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not _are_numbers(box):
        return f"bbox {str(box)[:100]} is not [x, y, width, height]."
    left, top, width, height = box
    if not (width >= 0 and height >= 0 and abs(left + top + width + height) < np.inf):
        return f"bbox {box} has a negative size or is not finite; COCO's is x, y, width, height in pixels."
    if width and height and (left + width <= 0 or top + height <= 0 or _is_beyond(left, top, image)):
        return f"bbox {box} is outside its image of {image.get('width')} x {image.get('height')} (width x height)."
    points = one.get("keypoints")
    if points is not None and not (isinstance(points, list) and len(points) == counts and _are_numbers(points)):
        return f"keypoints are {counts} numbers, x, y and visibility for each; given {str(points)[:100]}."
    return ""


def _are_numbers(values: list[Any]) -> bool:
    return _NUMBERS.issuperset(map(type, values))


def _is_beyond(left: float, top: float, image: Mapping[str, Any]) -> bool:
    width, height = image.get("width"), image.get("height")
    return (type(width) is int and left >= width) or (type(height) is int and top >= height)


def _labels(categories: Sequence[Mapping[str, Any]]) -> Labels:
    has_stuff = any("isthing" in one for one in categories)
    things = frozenset(index for index, one in enumerate(categories) if one.get("isthing", 1)) if has_stuff else None
    return Labels(tuple(one["name"] for one in categories), things, category_ids=tuple(one["id"] for one in categories))


def _keypoints(categories: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    found = [tuple(map(str, one["keypoints"])) for one in categories if isinstance(one.get("keypoints"), list)]
    return found[0] if found else None
