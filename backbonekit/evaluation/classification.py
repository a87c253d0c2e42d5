"""Classes of images against the ground truth: one class an image, or any number of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult
from backbonekit.contract.scores import ClassTable, Confusion, PrecisionCurves, Scores
from backbonekit.errors import ContractError
from backbonekit.evaluation.extra import required
from backbonekit.evaluation.measure import ResultOptions, array, class_id, class_names, mean, ratio

_TOP = 5
_ALL = 1_000_000  # classes: every one has a score
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class OneClass:
    """Of an image with one class: the best classes, int32 [up to 5], best first, and the right one."""

    best: np.ndarray
    expected: int


@dataclass(frozen=True, slots=True)
class ManyClasses:
    """Of an image with any number of classes: the score of each, float32 [classes], and whether it has it."""

    scores: np.ndarray
    expected: np.ndarray


class ClassificationMeasure:
    """Of images with one class: `accuracy`, `accuracy_top5` and `f1`, the mean over the classes that occur.

    Of images with any number of classes (a target `class` of 0 and 1 for each): `mAP`, the mean over classes of the
    average precision, and `f1` (mean over classes) and `f1_micro` (over all decisions) of scores of 0.5 and more.
    """

    needs = ("class",)
    options = ResultOptions(threshold=0.0, top_k=_ALL)

    def __init__(self, labels: Labels | None = None, *, ignore_label: int = 255) -> None:
        self.labels = labels

    def record(self, result: ClassResult, target: Mapping[str, Any]) -> OneClass | ManyClasses:
        expected = array(target, "class", np.float32)
        found = result.labels.numpy()
        if expected.ndim == 0:
            self._check(int(expected))
            return OneClass(found[:_TOP].astype(np.int32), int(expected))
        if int(found.max(initial=0)) >= len(expected):
            raise ContractError(f"class has {len(expected)} numbers, and the model has {int(found.max()) + 1} classes.")
        scores = np.zeros(len(expected), np.float32)
        scores[found] = result.scores.numpy()
        return ManyClasses(scores, expected > 0.5)

    def scores(self, records: Sequence[OneClass | ManyClasses]) -> Scores:
        many = [record for record in records if isinstance(record, ManyClasses)]
        if many:
            if len(many) < len(records):
                raise ContractError("some targets have one class and others a number for each class; give one kind.")
            return self._of_many(many)
        return self._of_one([record for record in records if isinstance(record, OneClass)])

    def _check(self, expected: int) -> None:
        if expected < 0 or (self.labels is not None and expected >= len(self.labels.names)):
            last = "N - 1" if self.labels is None else len(self.labels.names) - 1
            raise ContractError(f"class is {expected}; classes are 0 to {last}.")

    def _of_one(self, records: Sequence[OneClass]) -> Scores:
        expected = np.array([record.expected for record in records], np.int64)
        best = np.array([record.best[0] if len(record.best) else -1 for record in records], np.int64)
        largest = int(max(expected.max(initial=-1), best.max(initial=-1)))
        size = max(largest + 1, len(self.labels.names) if self.labels else 0)
        confusion = np.zeros((size, size + 1), np.int64)
        np.add.at(confusion, (expected, best), 1)
        right, of_class = confusion.diagonal(), confusion.sum(axis=1)
        found = confusion[:, :size].sum(axis=0)
        f1 = ratio(2 * right, of_class + found)
        summary = {
            "accuracy": mean(best == expected),
            "accuracy_top5": mean(np.array([record.expected in record.best for record in records])),
            "f1": mean(f1),
        }
        shares = {"precision": ratio(right, found), "recall": ratio(right, of_class)}
        table = self._table({"f1": f1, **shares, "images": of_class})
        plot = Confusion(confusion, class_names(self.labels, size), "images")
        return Scores(("accuracy", summary["accuracy"]), summary, (table,), len(records), (plot,))

    def _of_many(self, records: Sequence[ManyClasses]) -> Scores:
        functional = required("torchmetrics.functional.classification", "torchmetrics")
        scores = torch.from_numpy(np.stack([record.scores for record in records]))
        expected = torch.from_numpy(np.stack([record.expected for record in records])).long()
        size, of_class = scores.shape[1], expected.sum(dim=0).numpy()
        decided, has = (scores >= 0.5).numpy(), expected.numpy() == 1
        right, found = (decided & has).sum(axis=0), decided.sum(axis=0)
        f1 = ratio(2 * right, found + of_class)
        curves = np.full((size, len(_RECALLS)), np.nan)
        precision = np.full(size, np.nan)
        for index in np.flatnonzero(of_class):
            one, has_it = scores[:, index], expected[:, index]
            precision[index] = float(functional.binary_average_precision(one, has_it))
            at, recall, _ = functional.binary_precision_recall_curve(one, has_it)
            # the best precision at this recall or more
            order = np.argsort(recall.numpy(), kind="stable")
            envelope = np.maximum.accumulate(at.numpy()[order][::-1])[::-1]
            position = np.searchsorted(recall.numpy()[order], _RECALLS, side="left")
            curves[index] = envelope[np.minimum(position, len(envelope) - 1)]
        summary = {
            "mAP": mean(precision),
            "f1": mean(f1),
            "f1_micro": float(ratio(2 * right.sum(), found.sum() + of_class.sum())),
        }
        shares = {"precision": ratio(right, found), "recall": ratio(right, of_class)}
        table = self._table({"AP": precision, "f1": f1, **shares, "images": of_class})
        plot = PrecisionCurves(_RECALLS, curves, class_names(self.labels, size), "images")
        return Scores(("mAP", summary["mAP"]), summary, (table,), len(records), (plot,))

    def _table(self, columns: Mapping[str, np.ndarray]) -> ClassTable:
        names = class_names(self.labels, len(columns["images"]))
        rows = tuple(
            (name, class_id(self.labels, index), tuple(float(values[index]) for values in columns.values()))
            for index, name in enumerate(names)
        )
        return ClassTable(tuple(columns), rows)
