"""The label of ignored pixels, for the criteria and the processor of one model."""

from backbonekit.assembly.wire import Wiring
from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.predictions import DenseLogits, MaskQueries
from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import prediction_of
from backbonekit.contract.targets import IGNORE_LABEL


def num_segmented(wiring: Wiring) -> int | None:
    """The number of classes of the heads that learn from segmentations, the largest of several; None without any."""
    counts = [
        task.head.options.get("num_classes")
        for task in wiring.tasks
        if task.head is not None and prediction_of(task.head.part) in (DenseLogits, MaskQueries)
    ]
    return max((count for count in counts if isinstance(count, int)), default=None)


def wired_label(wiring: Wiring, given: int | None) -> int | None:
    """What the criteria are given: the recipe's label; None where nobody chose one and it is the usual one."""
    label = ignored_label(given, num_segmented(wiring))
    return None if given is None and label == IGNORE_LABEL else label


def ignored_class_notes(wiring: Wiring, processing: Processing) -> list[str]:
    """A message where the ignored label is a class."""
    label, count = processing.ignore_label, num_segmented(wiring)
    if label is None or count is None or not 0 <= label < count:
        return []
    return [f"processing.ignore_label={label} is class {label} of {count}: its pixels count in no loss and no result."]
