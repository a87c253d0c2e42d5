"""COCO's panoptic format: a PNG for each image whose colours are the numbers of segments.

Source: https://cocodataset.org/#format-data, panoptic segmentation; panopticapi `utils.py: rgb2id`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbonekit.data.coco_file import CocoFile
from backbonekit.data.packed import PackedRecords
from backbonekit.data.paths import absent, is_inside
from backbonekit.errors import ContractError
from backbonekit.image_processing.reading import open_image


class PanopticTargets:
    """The segments of an image, by its index in the file: `masks`, `labels`, `boxes`, with `iscrowd` and `area`."""

    def __init__(self, maps: Path, file: CocoFile) -> None:
        """`faults`: of images that cannot be used, by index: without one map that is there, or with a wrong segment."""
        assert file.labels.category_ids is not None
        self._maps = maps
        self._classes = {category: index for index, category in enumerate(file.labels.category_ids)}
        entries = [objects[0] if len(objects) == 1 else {} for objects in file.objects]
        names = [one.get("file_name") for one in entries]
        self._names = [str(name) if is_inside(name) else "" for name in names]
        missing = absent(maps, (name for name in self._names if name))
        segments = [one.get("segments_info", []) for one in entries]
        self.faults: dict[int, str] = {}
        for index, image in enumerate(file.images):
            if not self._names[index] or self._names[index] in missing:
                self.faults[index] = f"{image['file_name']}: its map of segments, {names[index]!r}, is not in {maps}."
            elif fault := _segments_fault(segments[index], file.category_ids):
                self.faults[index] = f"{image['file_name']}: {fault}"
        self._segments = PackedRecords(
            [] if index in self.faults else [_learned(one) for one in each] for index, each in enumerate(segments)
        )

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        numbers = self._numbers(self._names[index], size)
        segments = [one for one in self._segments[index] if one["category_id"] in self._classes]
        masks = np.stack([numbers == one["id"] for one in segments]) if segments else np.zeros((0, *size), bool)
        areas = masks.sum(axis=(1, 2))
        for one, area in zip(segments, areas, strict=True):
            if not area:
                raise ContractError(f"the segment {one['id']} has no pixel in {self._names[index]}.")
        return {
            "labels": torch.tensor([self._classes[one["category_id"]] for one in segments], dtype=torch.int64),
            "boxes": torch.tensor([_box(mask) for mask in masks], dtype=torch.float32).reshape(-1, 4),
            "masks": torch.from_numpy(masks),
            "iscrowd": torch.tensor([bool(one.get("iscrowd", 0)) for one in segments], dtype=torch.bool),
            "area": torch.tensor(areas, dtype=torch.float32),
        }

    def _numbers(self, name: str, size: tuple[int, int]) -> np.ndarray:
        """int [height, width]: red + 256 green + 256 * 256 blue."""
        colours = np.asarray(open_image(self._maps / name))
        if colours.ndim != 3 or colours.shape[-1] < 3 or colours.shape[:2] != size:
            raise ContractError(f"{name} has the shape {list(colours.shape)}; a map of segments is {[*size, 3]}.")
        return colours[..., :3].astype(np.int64) @ np.array([1, 256, 256 * 256])


def _segments_fault(segments: Any, known: frozenset[int]) -> str:
    if not isinstance(segments, list):
        return "segments_info is no list."
    for one in segments:
        if not isinstance(one, Mapping) or type(one.get("id")) is not int or one.get("category_id") not in known:
            return f"a segment has an id and the category_id of a category; given {str(one)[:200]}."
    return ""


def _learned(segment: Mapping[str, Any]) -> dict[str, Any]:
    return {key: segment[key] for key in ("id", "category_id", "iscrowd") if key in segment}


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 around a mask with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
