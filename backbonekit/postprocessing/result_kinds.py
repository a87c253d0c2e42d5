"""What is written and said of each kind of result: one entry of one table each. Drawing has its own table,
`visualization/draw.py: DRAWINGS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.contract.labels import Labels, LabelsByTask, labels_of
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    Result,
    SemanticResult,
)
from backbonekit.errors import ContractError
from backbonekit.postprocessing import coco_entries, summary


@dataclass(frozen=True, slots=True)
class ResultKind:
    """`entries`: of a result, the labels and a function that writes a PNG, the entries in COCO-style JSON. `words`: of
    a result and the labels, what was found; empty where nothing was."""

    entries: Callable[[Any, Labels | None, coco_entries.WritePng], coco_entries.Entries]
    words: Callable[[Any, Labels | None], list[str]]


RESULT_KINDS: dict[type[Result], ResultKind] = {
    ClassResult: ResultKind(coco_entries.class_entries, summary.class_words),
    SemanticResult: ResultKind(coco_entries.semantic_entries, summary.semantic_words),
    InstanceResult: ResultKind(coco_entries.instance_entries, summary.instance_words),
    PanopticResult: ResultKind(coco_entries.panoptic_entries, summary.panoptic_words),
    DepthResult: ResultKind(coco_entries.depth_entries, summary.depth_words),
    KeypointResult: ResultKind(coco_entries.keypoint_entries, summary.keypoint_words),
}


def kind_of(result: Result) -> ResultKind:
    """The table's entry. Raises ContractError for a kind of result that has none."""
    if type(result) not in RESULT_KINDS:
        known = ", ".join(sorted(kind.__name__ for kind in RESULT_KINDS))
        raise ContractError(f"{type(result).__name__} is no known kind of result; those that are: {known}.")
    return RESULT_KINDS[type(result)]


def summarise(result: Result | Mapping[str, Result], labels: Labels | LabelsByTask | None) -> str:
    """A result in one line of words."""
    if isinstance(result, Mapping):
        return "; ".join(f"{task}: {summarise(one, labels_of(labels, task))}" for task, one in result.items())
    return ", ".join(kind_of(result).words(result, labels_of(labels, ""))) or "nothing found"
