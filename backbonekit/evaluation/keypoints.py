"""Keypoints of people, or of other things, against the ground truth: COCO's average precision by OKS."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import KeypointResult
from backbonekit.contract.scores import ClassTable, Scores
from backbonekit.errors import ContractError
from backbonekit.evaluation.average_precision import average_precision
from backbonekit.evaluation.measure import ResultOptions, array, class_names, ratio
from backbonekit.evaluation.objects import ImageRecord, Objects, expected_objects, to_sizes

# Standard deviations of where people put a keypoint, as shares of an object's size: nose, eyes, ears, shoulders,
# elbows, wrists, hips, knees, ankles. From https://cocodataset.org/#keypoints-eval, "Keypoint Constants".
_COCO = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
COCO_SIGMAS = tuple(thousandths / 1000 for thousandths in _COCO)
OTHER_SIGMA = 0.05  # of keypoints that are not COCO's 17, for which nobody measured it


class KeypointMeasure:
    """`keypoint_AP`, `keypoint_AP50` and so on: object keypoint similarity (OKS) in the role of IoU.

    The results of an image are one `KeypointResult` for each object of its target that is no crowd, in that order (as
    `predict(boxes=...)` returns them for the objects' boxes), or the only one. The score of a result is the mean of its
    keypoints'. A keypoint that was not found is at 0, 0. OKS' constants are COCO's for 17 keypoints, else 0.05.
    `labels`: names of the keypoints, where they are as many.

    Source: github.com/cocodataset/cocoapi `PythonAPI/pycocotools/cocoeval.py: computeOks`.
    """

    needs = ("keypoints",)
    options = ResultOptions()

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        self.labels = labels

    def record(self, result: KeypointResult | Sequence[KeypointResult], target: Mapping[str, Any]) -> ImageRecord:
        results = [result] if isinstance(result, KeypointResult) else list(result)
        expected = expected_objects(_complete(target), with_masks=False)
        assert expected.keypoints is not None
        assert expected.crowds is not None
        single = ~expected.crowds
        if len(results) != single.sum():
            raise ContractError(
                f"{len(results)} results with keypoints for {int(single.sum())} objects of the target; give one each."
            )
        points = np.stack([_points(one) for one in results]) if results else np.zeros((0, 1, 3), np.float32)
        if len(points) and points.shape[1] != expected.keypoints.shape[1]:
            raise ContractError(
                f"the model finds {points.shape[1]} keypoints and the target has {expected.keypoints.shape[1]}."
            )
        low, high = points[..., :2].min(axis=1), points[..., :2].max(axis=1)
        boxes = to_sizes(np.concatenate([low, high], axis=1).astype(np.float64))
        found = Objects(
            labels=expected.labels[single],
            boxes=boxes,
            areas=boxes[:, 2] * boxes[:, 3],
            scores=np.array([_score(one) for one in results], np.float32),
            keypoints=points,
        )
        return ImageRecord(expected, found)

    def scores(self, records: Sequence[ImageRecord]) -> Scores:
        points = [record.expected.keypoints for record in records]
        count = next((one.shape[1] for one in points if one is not None and len(one)), 0)
        sigmas = COCO_SIGMAS if count == len(COCO_SIGMAS) else (OTHER_SIGMA,) * count
        measured = average_precision(records, "keypoints", None, sigmas=sigmas)
        main = ("keypoint_AP", measured.summary["keypoint_AP"])
        return Scores(main, measured.summary, (self._table(records, sigmas),), len(records))

    def _table(self, records: Sequence[ImageRecord], sigmas: Sequence[float]) -> ClassTable:
        """Of each keypoint: its mean similarity where it is annotated, and how often it is."""
        similar, annotated = np.zeros(len(sigmas)), np.zeros(len(sigmas), np.int64)
        for record in records:
            expected, found = record.expected, record.found
            if (
                expected.keypoints is None
                or expected.crowds is None
                or found.keypoints is None
                or not len(found.labels)
            ):
                continue
            single = ~expected.crowds
            seen = expected.keypoints[single][..., 2] > 0
            distances = ((expected.keypoints[single] - found.keypoints)[..., :2] ** 2).sum(axis=-1)
            scale = 2 * np.maximum(expected.areas[single], 1)[:, None] * (2 * np.asarray(sigmas)) ** 2
            similar += (np.exp(-distances / scale) * seen).sum(axis=0)
            annotated += seen.sum(axis=0)
        fits = self.labels is not None and len(self.labels.names) == len(sigmas)
        names = class_names(self.labels if fits else None, len(sigmas))
        values = np.stack([ratio(similar, annotated), annotated], axis=1).tolist()
        rows = tuple((name, index, tuple(one)) for index, (name, one) in enumerate(zip(names, values, strict=True)))
        return ClassTable(("OKS", "annotated"), rows, "keypoints")


def _complete(target: Mapping[str, Any]) -> dict[str, Any]:
    """With classes and boxes, which targets of a single object may lack: class 0, and the box around its keypoints."""
    points = array(target, "keypoints", np.float32)
    complete = dict(target)
    complete.setdefault("labels", np.zeros(len(points), np.int64))
    if "boxes" not in complete:
        seen = points[..., 2:] > 0
        low = np.where(seen, points[..., :2], np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen, points[..., :2], -np.inf).max(axis=1, initial=-np.inf)
        boxes = np.concatenate([low, high], axis=1)
        complete["boxes"] = np.where(np.isfinite(boxes), boxes, 0.0)
    return complete


def _points(result: KeypointResult) -> np.ndarray:
    """float32 [K, 3]: x, y and 1; 0, 0, 0 for a keypoint that was not found."""
    points = result.keypoints.float().numpy()
    found = np.isfinite(points).all(axis=1, keepdims=True)
    return np.concatenate([np.where(found, points, 0.0), found], axis=1).astype(np.float32)


def _score(result: KeypointResult) -> float:
    found = result.keypoints.isfinite().all(dim=1)
    return float(result.scores[found].mean()) if found.any() else 0.0
