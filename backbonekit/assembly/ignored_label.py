"""The label of ignored pixels, for the criteria and the processor of one model."""

from collections.abc import Mapping
from typing import Any

from backbonekit.assembly.plan import TaskPlan
from backbonekit.assembly.wire import Wiring
from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.predictions import DenseLogits, MaskQueries
from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import prediction_of
from backbonekit.contract.targets import IGNORE_LABEL

_KEY = "ignore_label"


def num_segmented(wiring: Wiring) -> int | None:
    """The number of classes of the heads that learn from segmentations, the largest of several; None without any."""
    return max((count for plan in wiring.tasks if (count := num_segmented_by(plan)) is not None), default=None)


def num_segmented_by(plan: TaskPlan) -> int | None:
    """The number of classes of a task that learns from segmentations; None of any other."""
    if plan.head is None or prediction_of(plan.head.part) not in (DenseLogits, MaskQueries):
        return None
    return plan.recipe.num_classes


def wired_label(wiring: Wiring, plan: TaskPlan, processing: Mapping[str, Any]) -> int | None:
    """What the criterion of a task is given: its own label, else that of the recipe's `processing`; None where nobody
    chose one and it is the usual one."""
    given = plan.recipe.processing.get(_KEY, processing.get(_KEY))
    label = ignored_label(given, num_segmented(wiring))
    return None if given is None and label == IGNORE_LABEL else label


def ignored_class_notes(wiring: Wiring, processing: Processing) -> list[str]:
    """A message where the ignored label is a class."""
    found: dict[str, tuple[int, int]] = {}  # by path: the label, and the number of classes
    for plan in wiring.tasks:
        own, count = plan.recipe.processing.get(_KEY), num_segmented_by(plan)
        label = processing.ignore_label if own is None else own
        if label is not None and count is not None and 0 <= label < count:
            path = f"{'' if own is None else plan.path}processing.{_KEY}"
            found[path] = (label, max(count, found.get(path, (label, 0))[1]))
    return [
        f"{path}={label} is class {label} of {count}: its pixels count in no loss and no result."
        for path, (label, count) in found.items()
    ]
