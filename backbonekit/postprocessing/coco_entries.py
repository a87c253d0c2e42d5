"""The entries of each kind of result in COCO-style JSON, and masks as COCO's compressed run lengths.

Source of the run lengths: github.com/cocodataset/cocoapi `common/maskApi.c: rleEncode, rleToString`: runs down the
columns, beginning with a run of background (perhaps of length 0), written in 5 bits a character, each as the difference
to the run before last.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels, category_id_of
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    SemanticResult,
)
from backbonekit.errors import ContractError
from backbonekit.postprocessing.label_map import depth_png, label_png

_LARGEST_PIXEL = 65_535  # of a 16-bit PNG; it stands for no label
Entries = list[dict[str, Any]]
WritePng = Callable[[bytes], str]  # writes an image beside the JSON file and returns its name there


def class_entries(result: ClassResult, labels: Labels | None, write_png: WritePng) -> Entries:
    pairs = zip(result.labels.tolist(), result.scores.tolist(), strict=True)
    return [{"category_id": category_id_of(labels, label), "score": _rounded(score)} for label, score in pairs]


def depth_entries(result: DepthResult, labels: Labels | None, write_png: WritePng) -> Entries:
    content, offset, scale = depth_png(result.depth.numpy())
    return [{"file_name": write_png(content), "offset": offset, "scale": scale}]


def semantic_entries(result: SemanticResult, labels: Labels | None, write_png: WritePng) -> Entries:
    if result.is_binary:
        file_name = write_png(label_png(result.segmentation.numpy(), 1, nothing=result.ignore_label))
        area = int((result.segmentation == 1).sum())
        info = {"id": 1, "category_id": category_id_of(labels, 0), "area": area}
        return [{"file_name": file_name, "segments_info": [info] * (area > 0)}]
    classes = result.classes().numpy()
    if labels is None or labels.category_ids is None:
        largest = max(len(labels.names) - 1 if labels else 0, int(classes.max(initial=0)))
        return [{"file_name": write_png(label_png(classes, largest, nothing=-1))}]
    smallest, largest = min(labels.category_ids), max(labels.category_ids)
    if smallest < 0 or largest >= _LARGEST_PIXEL:
        raise ContractError(
            f"labels.category_ids go from {smallest} to {largest}; the pixels of a label map hold 0 to"
            f" {_LARGEST_PIXEL - 1}. The fix: other ids, or labels.category_ids=null for the class indices."
        )
    ids = np.where(classes < 0, -1, np.asarray(labels.category_ids)[classes])
    return [{"file_name": write_png(label_png(ids, largest, nothing=-1))}]


def panoptic_entries(result: PanopticResult, labels: Labels | None, write_png: WritePng) -> Entries:
    segmentation = result.segmentation.numpy()
    file_name = write_png(label_png(segmentation, len(result.segments)))
    return [{"file_name": file_name, "segments_info": _segments(result, segmentation, labels)}]


def instance_entries(result: InstanceResult, labels: Labels | None, write_png: WritePng) -> Entries:
    entries: Entries = []
    for index, (label, score, (left, top, right, bottom)) in enumerate(
        zip(result.labels.tolist(), result.scores.tolist(), result.boxes_xyxy.tolist(), strict=True)
    ):
        box = [_rounded(value) for value in (left, top, right - left, bottom - top)]
        entry: dict[str, Any] = {"category_id": category_id_of(labels, label), "score": _rounded(score), "bbox": box}
        if result.masks is None:
            entry["area"] = _rounded(box[2] * box[3])
        else:
            mask = result.masks[index].numpy()
            entry |= {"area": int(mask.sum()), "segmentation": encode_mask(mask), "iscrowd": 0}
        entries.append(entry)
    return entries


def keypoint_entries(result: KeypointResult, labels: Labels | None, write_png: WritePng) -> Entries:
    found = result.keypoints.isfinite().all(dim=-1)
    numbers: list[float] = []
    for (x, y), is_found in zip(result.keypoints.tolist(), found.tolist(), strict=True):
        numbers += [_rounded(x), _rounded(y), 2] if is_found else [0, 0, 0]
    score = result.scores[found].mean().item() if found.any() else 0.0
    return [{"keypoints": numbers, "num_keypoints": int(found.sum()), "score": _rounded(score)}]


def _segments(result: PanopticResult, segmentation: np.ndarray, labels: Labels | None) -> Entries:
    infos = []
    for segment in result.segments:
        rows, columns = np.nonzero(segmentation == segment.identifier)
        left, top = int(columns.min()), int(rows.min())
        infos.append(
            {
                "id": segment.identifier,
                "category_id": category_id_of(labels, segment.label),
                "score": _rounded(segment.score),
                "area": len(rows),
                "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
                "iscrowd": 0,
            }
        )
    return infos


def _rounded(value: float) -> float:
    return round(value, 6)


def encode_mask(mask: np.ndarray) -> dict[str, object]:
    """bool [height, width] -> `{"size": [height, width], "counts": text}`, as pycocotools reads it."""
    height, width = mask.shape
    return {"size": [height, width], "counts": _text(_runs(mask))}


def decode_mask(encoded: dict[str, object]) -> np.ndarray:
    """The inverse of `encode_mask`; bool [height, width]."""
    height, width = encoded["size"]  # type: ignore[misc]
    runs = _parse(str(encoded["counts"]))
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T  # type: ignore[has-type]


def _runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[False], mask.astype(bool).ravel(order="F")])
    # changes: positions in the flat mask at which a new run begins
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()


def _text(runs: list[int]) -> str:
    characters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)  # the sign's bit says how the rest is filled
            characters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(characters)


def _parse(text: str) -> list[int]:
    runs: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[position]) - 48
            value |= (bits & 0x1F) << shift
            shift += 5
            position += 1
            more = bool(bits & 0x20)
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
