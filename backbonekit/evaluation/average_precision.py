"""COCO's average precision of boxes, masks or keypoints, computed by faster-coco-eval from records of images."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.scores import ClassTable, PrecisionCurves
from backbonekit.evaluation.extra import required
from backbonekit.evaluation.measure import class_id, class_names
from backbonekit.evaluation.objects import ImageRecord, Objects, mask_areas

Kind = Literal["bbox", "segm", "keypoints"]
# kind -> (prefix of its metrics, title of its table)
_NAMES: dict[Kind, tuple[str, str]] = {
    "bbox": ("box", "boxes"),
    "segm": ("mask", "masks"),
    "keypoints": ("keypoint", "keypoints"),
}
_HALF, _THREE_QUARTERS = 0, 5  # positions of the thresholds 0.50 and 0.75 among 0.50, 0.55, ... 0.95


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """`summary`, such as `box_AP`; a value is NaN where the ground truth has no object of that size. `table` and
    `curves`: of each class, the curves at IoU 0.5 (keypoints: OKS 0.5)."""

    summary: dict[str, float]
    table: ClassTable
    curves: PrecisionCurves


@dataclass(frozen=True, slots=True)
class _Accumulated:
    """`precision`: [thresholds, recalls, classes, areas, limits], `recall`: [thresholds, classes, areas, limits]; -1
    where undefined. `areas`: names, the first is all. `limits`: how many results an image, ascending."""

    precision: np.ndarray
    recall: np.ndarray
    areas: list[str]
    limits: list[int]
    recalls: np.ndarray


def average_precision(
    records: Sequence[ImageRecord], kind: Kind, labels: Labels | None, *, sigmas: Sequence[float] | None = None
) -> AveragePrecision:
    """AP (mean over the IoU thresholds 0.50 to 0.95 and the classes of the ground truth), AP50, AP75, and of small
    (below 32 x 32 pixels), medium and large (from 96 x 96) objects; AR with at most 1, 10 and 100 results an image.

    Of keypoints OKS stands for IoU, `sigmas` are its constants, at most 20 results an image count, and there are no
    small objects.
    """
    count = _num_classes(records, labels)
    measured = _accumulate(records, kind, count, sigmas)
    prefix, title = _NAMES[kind]
    precision, recall = measured.precision, measured.recall
    summary = {
        f"{prefix}_AP": _mean(precision[..., 0, -1]),
        f"{prefix}_AP50": _mean(precision[_HALF, ..., 0, -1]),
        f"{prefix}_AP75": _mean(precision[_THREE_QUARTERS, ..., 0, -1]),
    }
    sizes = list(enumerate(measured.areas))[1:]
    summary |= {f"{prefix}_AP_{size}": _mean(precision[..., index, -1]) for index, size in sizes}
    summary |= {f"{prefix}_AR{most}": _mean(recall[..., 0, index]) for index, most in enumerate(measured.limits)}
    summary |= {f"{prefix}_AR_{size}": _mean(recall[..., index, -1]) for index, size in sizes}
    names = class_names(labels, count)
    objects = _objects_of_each(records, count)
    rows = []
    for index, name in enumerate(names):
        of_class = precision[:, :, index, 0, -1]
        average = (_mean(of_class), _mean(of_class[_HALF]), _mean(of_class[_THREE_QUARTERS]))
        values = (*average, _mean(recall[:, index, 0, -1]), float(objects[index]))
        rows.append((name, class_id(labels, index), values))
    columns = ("AP", "AP50", "AP75", f"AR{measured.limits[-1]}", "objects")
    at_half = precision[_HALF, :, :, 0, -1].T
    curves = PrecisionCurves(measured.recalls, np.where(at_half < 0, np.nan, at_half), names, title)
    return AveragePrecision(summary, ClassTable(columns, tuple(rows), title), curves)


def _accumulate(records: Sequence[ImageRecord], kind: Kind, count: int, sigmas: Sequence[float] | None) -> _Accumulated:
    coco = required("faster_coco_eval.core.coco", "faster-coco-eval").COCO
    evaluator_class = required("faster_coco_eval.core.faster_eval_api", "faster-coco-eval").COCOeval_faster
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)
    expected, found = (_dataset(records, which, kind, count) for which in ("expected", "found"))
    # One thread: a pool of them is slower for the few masks of an image, and takes the workers' cores.
    evaluator = evaluator_class(coco(expected), coco(found), kind, kpt_oks_sigmas=sigmas, rle_iou_max_workers=1)
    parameters = evaluator.params
    parameters.catIds = list(range(1, count + 1))
    areas, limits = list(parameters.areaRngLbl), list(parameters.maxDets)
    shape = (len(parameters.iouThrs), len(parameters.recThrs), count, len(areas), len(limits))
    if not count or not records:
        undefined = np.full(shape, -1.0)
        return _Accumulated(undefined, undefined[:, 0], areas, limits, parameters.recThrs)
    evaluator.evaluate()
    evaluator.accumulate()
    precision = np.asarray(evaluator.eval["precision"]).reshape(shape)
    recall = np.asarray(evaluator.eval["recall"]).reshape(shape[0], *shape[2:])
    return _Accumulated(precision, recall, areas, limits, parameters.recThrs)


def _dataset(records: Sequence[ImageRecord], which: str, kind: Kind, count: int) -> dict[str, Any]:
    """Records as a COCO file. Ids start at 1: an annotation with the id 0 counts as none in the evaluation."""
    annotations: list[dict[str, Any]] = []
    for image, record in enumerate(records, start=1):
        for entry in _entries(record.expected if which == "expected" else record.found, kind):
            annotations.append({**entry, "id": len(annotations) + 1, "image_id": image})
    sizes = [record.size for record in records]
    return {
        "images": [{"id": image, "height": size[0], "width": size[1]} for image, size in enumerate(sizes, start=1)],
        "categories": [{"id": number + 1, "name": str(number)} for number in range(count)],
        "annotations": annotations,
    }


def _entries(objects: Objects, kind: Kind) -> list[dict[str, Any]]:
    # What was found is small or large by what is compared: its mask's area, not its box's.
    is_found = objects.scores is not None
    areas = mask_areas(objects.masks or []) if is_found and kind == "segm" else objects.areas
    entries: list[dict[str, Any]] = [
        {"category_id": label + 1, "bbox": box, "area": area, "iscrowd": 0}
        for label, box, area in zip(objects.labels.tolist(), objects.boxes.tolist(), areas.tolist(), strict=True)
    ]
    for index, entry in enumerate(entries):
        if objects.scores is not None:
            entry["score"] = float(objects.scores[index])
        if objects.crowds is not None:
            entry["iscrowd"] = int(objects.crowds[index])
        if kind == "segm" and objects.masks is not None:
            entry["segmentation"] = objects.masks[index]
        if kind == "keypoints" and objects.keypoints is not None:
            points = objects.keypoints[index].astype(np.float64)
            entry["keypoints"] = points.ravel().tolist()
            entry["num_keypoints"] = int((points[:, 2] > 0).sum())
    return entries


def _objects_of_each(records: Sequence[ImageRecord], count: int) -> np.ndarray:
    """[classes]: objects of the ground truth, without crowds."""
    totals = np.zeros(count, np.int64)
    for record in records:
        labels = record.expected.labels
        single = labels if record.expected.crowds is None else labels[~record.expected.crowds]
        totals += np.bincount(single, minlength=count)
    return totals


def _num_classes(records: Sequence[ImageRecord], labels: Labels | None) -> int:
    every = (objects.labels for record in records for objects in (record.expected, record.found))
    largest = max((int(one.max(initial=-1)) for one in every), default=-1)
    return max(largest + 1, len(labels.names) if labels else 0)


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")
