"""Results of a model against the targets of a data set, image by image, over any number of processes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backbonekit.contract.labels import Labels
from backbonekit.contract.scores import Scores, together
from backbonekit.contract.targets import targets_of
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.evaluation.classification import ClassificationMeasure
from backbonekit.evaluation.depth import DepthMeasure
from backbonekit.evaluation.detection import DetectionMeasure, InstanceMeasure
from backbonekit.evaluation.keypoints import KeypointMeasure
from backbonekit.evaluation.measure import Measure, ResultOptions
from backbonekit.evaluation.panoptic import PanopticMeasure
from backbonekit.evaluation.semantic import SemanticMeasure

# What a prediction is read as (the tasks of `to_results`) -> what measures it.
MEASURES: dict[str, type[Any]] = {
    "classification": ClassificationMeasure,
    "semantic": SemanticMeasure,
    "detection": DetectionMeasure,
    "instance": InstanceMeasure,
    "panoptic": PanopticMeasure,
    "depth": DepthMeasure,
    "keypoints": KeypointMeasure,
}
State = dict[str, dict[int, Any]]  # task -> index of the image -> record


class Evaluation:
    """Measures of one task, or of several by name.

    `readings`: what each prediction is read as (classification, semantic, detection, instance, panoptic, depth,
    keypoints): one word, or a mapping from the name of a task to it. `labels`: of the classes, or a mapping from the
    name of a task to them. `ignore_label`: of pixels without a class, or a mapping likewise.

    Memory: a few kilobytes an image. Each image counts once, by its index, however often and by however many processes
    it is given, so that a sharded data set that was padded is measured right.
    """

    def __init__(
        self,
        readings: str | Mapping[str, str],
        labels: Labels | Mapping[str, Labels | None] | None = None,
        *,
        ignore_label: int | Mapping[str, int] = 255,
    ) -> None:
        by_task = {"": readings} if isinstance(readings, str) else dict(readings)
        self.measures: dict[str, Measure] = {}
        for task, reading in by_task.items():
            if reading not in MEASURES:
                raise RecipeError(f"nothing measures {reading!r}; {nearest(reading, MEASURES)}")
            of_task = labels.get(task) if isinstance(labels, Mapping) else labels
            ignored = ignore_label if isinstance(ignore_label, int) else ignore_label[task]
            self.measures[task] = MEASURES[reading](of_task, ignore_label=ignored)
        self.readings = by_task
        self._records: State = {task: {} for task in by_task}

    def options(self, task: str = "") -> ResultOptions:
        """How results of this task are read off the prediction: all boxes down to a score of 0, 100 an image, where
        `predict` shows those above 0.5."""
        return self.measures[task].options

    def update(self, results: Sequence[Any], targets: Sequence[Mapping[str, Any]], indices: Sequence[int]) -> None:
        """Adds images: their results (with several tasks a dict by task each) and targets, both in the image's own
        pixels, and their indices in the data set.

        A target without a task's keys is no ground truth for it and counts nowhere in it; nor does a `class` of shape
        [0]. A task's own keys ("TASK.KEY") take the place of those of all. Raises ContractError, with the index of the
        image, where a result and its target do not go together.
        """
        for result, given, index in zip(results, targets, indices, strict=True):
            for task, measure in self.measures.items():
                (target,) = targets_of([given], task)  # type: ignore[list-item]
                if not all(key in target and not _is_no_class(key, target) for key in measure.needs):
                    continue
                try:
                    record = measure.record(result[task] if task else result, target)
                except ContractError as error:
                    raise ContractError(f"image {index}: {error}") from error
                self._records[task][int(index)] = record

    def compute(self) -> Scores:
        """Raises ContractError where no target had what a task is measured by."""
        for task, measure in self.measures.items():
            if not self._records[task]:
                of_task = f" of the task {task!r}" if task else ""
                raise ContractError(
                    f"nothing to measure: no target has {' and '.join(measure.needs)}, the ground truth of "
                    f"{self.readings[task]}{of_task}."
                )
        by_task = {
            task: measure.scores([self._records[task][index] for index in sorted(self._records[task])])
            for task, measure in self.measures.items()
        }
        return replace(together(by_task), readings=self.readings)

    def state(self) -> State:
        """All records: plain objects that other processes can be sent."""
        return {task: dict(records) for task, records in self._records.items()}

    def merge(self, states: Iterable[State]) -> None:
        """Adds the records of other processes; an image that is known already counts once."""
        for state in states:
            for task, records in state.items():
                self._records[task].update(records)

    def reset(self) -> None:
        """Forgets all images."""
        for records in self._records.values():
            records.clear()


def _is_no_class(key: str, target: Mapping[str, Any]) -> bool:
    """Whether the class of the image is ignored."""
    return key == "class" and getattr(target[key], "shape", None) == (0,)
