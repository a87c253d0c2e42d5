"""Panoptic quality: how well segments are found and how well they fit, of things and of stuff."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import PanopticResult
from backbonekit.contract.scores import ClassTable, Scores
from backbonekit.evaluation.measure import ResultOptions, array, check_size, class_id, class_names, mean, ratio

# label -> (sum of the IoU of matched segments, matched, found without a match, not found)
PanopticRecord = dict[int, tuple[float, int, int, int]]


class PanopticMeasure:
    """`PQ`, `SQ` and `RQ`, the means over the classes that occur, and the same of things and of stuff.

    A target has `masks` and `labels`, of things and stuff alike; a pixel in no mask is void. Two segments of one class
    match if their IoU is above 0.5, void left out. A segment without a match is not counted as false where more than
    half of it is void or in crowds (`iscrowd`) of its class.

    Source: Kirillov et al., "Panoptic Segmentation" (2019), section 4; github.com/cocodataset/panopticapi
    `evaluation.py: pq_compute_single_core`.
    """

    needs = ("masks", "labels")
    options = ResultOptions()

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        self.labels = labels

    def record(self, result: PanopticResult, target: Mapping[str, Any]) -> PanopticRecord:
        masks, expected_labels = array(target, "masks", bool), array(target, "labels", np.int64)
        crowds = array(target, "iscrowd", bool) if "iscrowd" in target else np.zeros(len(masks), bool)
        found = result.segmentation.numpy()
        if len(masks):
            check_size(found.shape, masks.shape[1:], "masks")
        expected = np.zeros(found.shape, np.int64)  # identifiers from 1; 0: void
        for index, mask in enumerate(masks):
            expected[mask] = index + 1
        # overlap: [expected + 1, found + 1] pixels that two segments share; row and column 0 have none
        size = len(result.segments) + 1
        overlap = np.bincount((expected * size + found).ravel(), minlength=(len(masks) + 1) * size)
        overlap = overlap.reshape(len(masks) + 1, size)
        return _counts(overlap, expected_labels, crowds, np.array([one.label for one in result.segments], np.int64))

    def scores(self, records: Sequence[PanopticRecord]) -> Scores:
        largest = max((label for record in records for label in record), default=-1)
        size = max(largest + 1, len(self.labels.names) if self.labels else 0)
        totals = np.zeros((size, 4))
        for record in records:
            for label, counts in record.items():
                totals[label] += counts
        overlap, matched, wrong, missed = totals.T
        weight = matched + (wrong + missed) / 2
        quality, segmentation, recognition = ratio(overlap, weight), ratio(overlap, matched), ratio(matched, weight)
        segmentation = np.where((weight > 0) & (matched == 0), 0.0, segmentation)
        is_thing = np.array([self._is_thing(label) for label in range(size)], bool)
        summary = {}
        for suffix, chosen in (("", np.ones(size, bool)), ("_things", is_thing), ("_stuff", ~is_thing)):
            for name, values in (("PQ", quality), ("SQ", segmentation), ("RQ", recognition)):
                summary[f"{name}{suffix}"] = mean(values[chosen])
        names = class_names(self.labels, size)
        columns = (quality, segmentation, recognition, matched + missed)
        rows = tuple(
            (names[index], class_id(self.labels, index), tuple(float(column[index]) for column in columns))
            for index in range(size)
        )
        table = ClassTable(("PQ", "SQ", "RQ", "segments"), rows)
        return Scores(("PQ", summary["PQ"]), summary, (table,), len(records))

    def _is_thing(self, label: int) -> bool:
        return self.labels is None or self.labels.things is None or label in self.labels.things


def _counts(
    overlap: np.ndarray, expected_labels: np.ndarray, crowds: np.ndarray, found_labels: np.ndarray
) -> PanopticRecord:
    expected_area, found_area = overlap.sum(axis=1), overlap.sum(axis=0)
    matched_expected, matched_found = set(), set()
    counts: dict[int, list[float]] = defaultdict(lambda: [0.0, 0, 0, 0])
    for row, column in zip(*np.nonzero(overlap[1:, 1:]), strict=True):
        label = int(expected_labels[row])
        if crowds[row] or label != found_labels[column]:
            continue
        shared = overlap[row + 1, column + 1]
        iou = shared / (expected_area[row + 1] + found_area[column + 1] - shared - overlap[0, column + 1])
        if iou > 0.5:
            counts[label][0] += float(iou)
            counts[label][1] += 1
            matched_expected.add(int(row))
            matched_found.add(int(column))
    for column, label in enumerate(found_labels.tolist()):
        area = found_area[column + 1]
        if column in matched_found or area == 0:
            continue
        of_crowds = overlap[1:, column + 1][crowds & (expected_labels == label)].sum()
        if overlap[0, column + 1] + of_crowds <= area / 2:
            counts[label][2] += 1
    for row, label in enumerate(expected_labels.tolist()):
        if row not in matched_expected and not crowds[row] and expected_area[row + 1] > 0:
            counts[label][3] += 1
    return {label: (one[0], int(one[1]), int(one[2]), int(one[3])) for label, one in counts.items()}
