"""Objects of an image, those of the ground truth or those that were found, as small arrays; masks as run lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbonekit.errors import ContractError
from backbonekit.evaluation.extra import required
from backbonekit.evaluation.measure import array

RunLengths = dict[str, Any]  # {"size": [height, width], "counts": bytes}, as faster-coco-eval writes and reads it


@dataclass(slots=True)
class Objects:
    """N objects: `labels` int64 [N], `boxes` float64 [N, 4] as x, y, width, height, `areas` float64 [N] in pixels.

    `scores`: float32 [N] of what was found, None of the ground truth. `crowds`: bool [N]. `masks`: run lengths.
    `keypoints`: float32 [N, K, 3], x, y and visibility.
    """

    labels: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    scores: np.ndarray | None = None
    crowds: np.ndarray | None = None
    masks: list[RunLengths] | None = None
    keypoints: np.ndarray | None = None


@dataclass(slots=True)
class ImageRecord:
    """Of one image: its objects, and what was found. `size`: (height, width) where there are masks, else (0, 0)."""

    expected: Objects
    found: Objects
    size: tuple[int, int] = (0, 0)


def expected_objects(target: Mapping[str, Any], *, with_masks: bool) -> Objects:
    """The objects of a target. `area` is COCO's, where the target has it; else the mask's, else the box's. Without
    boxes these are around the masks. Raises ContractError for keys with different numbers of objects."""
    labels = array(target, "labels", np.int64)
    masks = run_lengths(array(target, "masks", bool)) if "masks" in target and with_masks else None
    boxes = to_sizes(array(target, "boxes", np.float64)) if "boxes" in target else boxes_around(masks or [])
    keypoints = array(target, "keypoints", np.float32) if "keypoints" in target else None
    crowds = array(target, "iscrowd", bool) if "iscrowd" in target else np.zeros(len(labels), bool)
    areas = boxes[:, 2] * boxes[:, 3] if masks is None else mask_areas(masks)
    if "area" in target:
        areas = array(target, "area", np.float64)
    for key, value in (
        ("boxes", boxes),
        ("masks", masks),
        ("iscrowd", crowds),
        ("area", areas),
        ("keypoints", keypoints),
    ):
        if value is not None and len(value) != len(labels):
            raise ContractError(
                f"the target has {len(labels)} labels and {len(value)} {key}; give one for each object."
            )
    return Objects(labels, boxes, areas, crowds=crowds, masks=masks, keypoints=keypoints)


def to_sizes(boxes_xyxy: np.ndarray) -> np.ndarray:
    """[N, 4]: x0, y0, x1, y1 -> x, y, width, height."""
    boxes = boxes_xyxy.reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def run_lengths(masks: np.ndarray) -> list[RunLengths]:
    """bool [N, height, width] -> N run lengths."""
    if not len(masks):
        return []
    encode = required("faster_coco_eval.core.mask", "faster-coco-eval").encode
    # One at a time: a hundred masks in Fortran's order would be as much memory again.
    return [encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def mask_areas(masks: Sequence[RunLengths]) -> np.ndarray:
    """float64 [N], in pixels."""
    if not masks:
        return np.zeros(0)
    area = required("faster_coco_eval.core.mask", "faster-coco-eval").area
    return np.asarray(area(list(masks)), np.float64)


def boxes_around(masks: Sequence[RunLengths]) -> np.ndarray:
    """float64 [N, 4] as x, y, width, height."""
    if not masks:
        return np.zeros((0, 4))
    around = required("faster_coco_eval.core.mask", "faster-coco-eval").toBbox
    return np.asarray(around(list(masks)), np.float64).reshape(-1, 4)
