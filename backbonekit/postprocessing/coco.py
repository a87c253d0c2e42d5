"""Results as COCO-style JSON, with label maps as PNG beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    Result,
    SemanticResult,
)
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.postprocessing.label_map import depth_png, label_png
from backbonekit.postprocessing.run_lengths import encode_mask
from backbonekit.postprocessing.writing import write_file


class CocoResults:
    """Collects results and writes them: `images`, `categories` and `annotations`, as in COCO's own files.

    Things: `image_id`, `category_id` (our number of the class, from 0), `bbox` (x, y, width, height), `score`, and
    `segmentation` in compressed run lengths where there are masks. Panoptic and semantic: one entry an image with
    `file_name` of a PNG in the folder `NAME_maps` and, for panoptic, `segments_info`. Depth: a 16-bit PNG with
    depth = offset + scale * value. Classes: one entry each, with `score`. Keypoints: one entry a person, `keypoints` as
    x, y, 2 for each that was found and 0, 0, 0 for each that was not, and the mean `score` of those found.
    """

    def __init__(self, path: str | Path, labels: Labels | None = None) -> None:
        self.path = Path(path)
        self.labels = labels
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self._maps = self.path.with_name(f"{self.path.stem}_maps")

    def add(self, name: str, size: tuple[int, int], result: Result | dict[str, Result]) -> None:
        """`name`: the image's file name. `size`: its (height, width). Label maps are written at once."""
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        for task, one in (result if isinstance(result, dict) else {"": result}).items():
            stem = f"{image_id:06d}_{Path(name).stem}" + (f"_{task}" if task else "")
            for entry in self._entries(one, stem):
                named = {"task": task} if task else {}
                self.annotations.append({"id": len(self.annotations) + 1, "image_id": image_id, **named, **entry})

    def write(self) -> None:
        """Replaces the JSON file in one step. Raises StorageError."""
        content = {"images": self.images, "categories": self._categories(), "annotations": self.annotations}
        write_file(self.path, json.dumps(content, allow_nan=False).encode())

    def _entries(self, result: Result, stem: str) -> list[dict[str, Any]]:
        if isinstance(result, ClassResult):
            pairs = zip(result.labels.tolist(), result.scores.tolist(), strict=True)
            return [{"category_id": label, "score": _rounded(score)} for label, score in pairs]
        if isinstance(result, InstanceResult):
            return _things(result)
        if isinstance(result, KeypointResult):
            return [_person(result)]
        if isinstance(result, DepthResult):
            content, offset, scale = depth_png(result.depth.numpy())
            return [{"file_name": self._beside(stem, content), "offset": offset, "scale": scale}]
        segmentation = result.segmentation.numpy()
        if isinstance(result, SemanticResult):
            present = segmentation[segmentation != IGNORE_LABEL]
            largest = max(len(self.labels.names) - 1 if self.labels else 0, int(present.max()) if present.size else 0)
            return [{"file_name": self._beside(stem, label_png(segmentation, largest, nothing=IGNORE_LABEL))}]
        file_name = self._beside(stem, label_png(segmentation, len(result.segments)))
        return [{"file_name": file_name, "segments_info": _segments(result, segmentation)}]

    def _beside(self, stem: str, content: bytes) -> str:
        path = self._maps / f"{stem}.png"
        write_file(path, content)
        return f"{self._maps.name}/{path.name}"

    def _categories(self) -> list[dict[str, Any]]:
        if self.labels is None:
            return []
        things = self.labels.things
        return [
            {"id": number, "name": name, **({} if things is None else {"isthing": int(number in things)})}
            for number, name in enumerate(self.labels.names)
        ]


def _things(result: InstanceResult) -> list[dict[str, Any]]:
    entries = []
    for index, (label, score, (left, top, right, bottom)) in enumerate(
        zip(result.labels.tolist(), result.scores.tolist(), result.boxes_xyxy.tolist(), strict=True)
    ):
        box = [_rounded(value) for value in (left, top, right - left, bottom - top)]
        entry: dict[str, Any] = {"category_id": label, "score": _rounded(score), "bbox": box}
        if result.masks is None:
            entry["area"] = _rounded(box[2] * box[3])
        else:
            mask = result.masks[index].numpy()
            entry |= {"area": int(mask.sum()), "segmentation": encode_mask(mask), "iscrowd": 0}
        entries.append(entry)
    return entries


def _person(result: KeypointResult) -> dict[str, Any]:
    found = result.keypoints.isfinite().all(dim=-1)
    numbers: list[float] = []
    for (x, y), is_found in zip(result.keypoints.tolist(), found.tolist(), strict=True):
        numbers += [_rounded(x), _rounded(y), 2] if is_found else [0, 0, 0]
    score = result.scores[found].mean().item() if found.any() else 0.0
    return {"keypoints": numbers, "num_keypoints": int(found.sum()), "score": _rounded(score)}


def _segments(result: PanopticResult, segmentation: np.ndarray) -> list[dict[str, Any]]:
    infos = []
    for segment in result.segments:
        rows, columns = np.nonzero(segmentation == segment.identifier)
        left, top = int(columns.min()), int(rows.min())
        infos.append(
            {
                "id": segment.identifier,
                "category_id": segment.label,
                "score": _rounded(segment.score),
                "area": len(rows),
                "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
                "iscrowd": 0,
            }
        )
    return infos


def _rounded(value: float) -> float:
    return round(value, 6)
