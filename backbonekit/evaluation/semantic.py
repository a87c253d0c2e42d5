"""The class of every pixel against the ground truth: IoU, Dice and accuracy by a confusion matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import SemanticResult
from backbonekit.contract.scores import ClassTable, Confusion, Scores
from backbonekit.errors import ContractError
from backbonekit.evaluation.measure import ResultOptions, array, check_size, class_id, class_names, mean, ratio


@dataclass(frozen=True, slots=True)
class SemanticRecord:
    """Of one image: which pairs of (ground truth, result) its pixels have, int32 [pairs, 2], -1 for a result without a
    class, and how many pixels each, int64 [pairs]."""

    pairs: np.ndarray
    counts: np.ndarray
    is_binary: bool


class SemanticMeasure:
    """`mIoU`, `pixel_accuracy`, `mean_accuracy` and `mean_dice` over all pixels of all images.

    Pixels whose ground truth is the ignored label count nowhere. A pixel without a class in the result (beyond a centre
    crop, or below the threshold) is wrong. Means are over the classes that occur: `mIoU` and `mean_dice` over those of
    the ground truth or the results, `mean_accuracy` over those of the ground truth. Of a model with one class the means
    are that class's, and `pixel_accuracy` counts the background too.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation" (2015), section 5.
    """

    needs = ("segmentation",)
    options = ResultOptions()

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        self.labels = labels
        self.ignore_label = ignore_label

    def record(self, result: SemanticResult, target: Mapping[str, Any]) -> SemanticRecord:
        expected = array(target, "segmentation", np.int64)
        found = result.segmentation.numpy()
        check_size(found.shape, expected.shape, "segmentation")
        found = np.where(found == result.ignore_label, -1, found)
        counted = expected != self.ignore_label
        self._check(expected[counted], result.is_binary)
        # base: greater than every class, so that one number holds a pair
        base = int(found.max(initial=0)) + 2
        codes, counts = np.unique(expected[counted] * base + found[counted] + 1, return_counts=True)
        pairs = np.stack([codes // base, codes % base - 1], axis=1).astype(np.int32)
        return SemanticRecord(pairs, counts.astype(np.int64), result.is_binary)

    def scores(self, records: Sequence[SemanticRecord]) -> Scores:
        is_binary = any(record.is_binary for record in records)
        largest = max((int(record.pairs.max(initial=-1)) for record in records), default=-1)
        size = max(largest + 1, 2 if is_binary else len(self.labels.names) if self.labels else 0)
        confusion = np.zeros((size, size + 1), np.int64)
        for record in records:
            np.add.at(confusion, (record.pairs[:, 0], record.pairs[:, 1]), record.counts)  # -1: the last column
        right, expected = confusion.diagonal(), confusion.sum(axis=1)
        found = confusion[:, :size].sum(axis=0)
        iou, dice = ratio(right, expected + found - right), ratio(2 * right, expected + found)
        accuracy = ratio(right, expected)
        first = 1 if is_binary else 0  # of a model with one class, 0 is the background
        summary = {
            "mIoU": mean(iou[first:]),
            "pixel_accuracy": float(ratio(right.sum(), expected.sum())),
            "mean_accuracy": mean(accuracy[first:]),
            "mean_dice": mean(dice[first:]),
        }
        names = class_names(self.labels, size - first)
        rows = tuple(
            (names[index], class_id(self.labels, index), tuple(float(column[index + first]) for column in columns))
            for columns in ((iou, dice, accuracy, ratio(expected, expected.sum())),)
            for index in range(size - first)
        )
        shown = ("background", *names) if is_binary else names
        return Scores(
            main=("mIoU", summary["mIoU"]),
            summary=summary,
            per_class=(ClassTable(("IoU", "dice", "accuracy", "share"), rows),),
            num_images=len(records),
            plots=(Confusion(confusion, shown, "pixels"),),
        )

    def _check(self, expected: np.ndarray, is_binary: bool) -> None:
        count = 2 if is_binary else len(self.labels.names) if self.labels else None
        smallest, largest = int(expected.min(initial=0)), int(expected.max(initial=0))
        if smallest < 0 or (count is not None and largest >= count):
            wrong = smallest if smallest < 0 else largest
            raise ContractError(
                f"segmentation has a pixel of the class {wrong}; classes are 0 to "
                f"{'N - 1' if count is None else count - 1}, and {self.ignore_label} is no class. The fix: "
                "data.label_map, or processing.ignore_label."
            )
