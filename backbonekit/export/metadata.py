"""What an exported file says of itself: classes, processing, and how its outputs are read. Plain data, as JSON.

Who runs the file with other tools reads it; `predict` reads it too, and checks it, since anybody can write a file.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import BoxCandidates, BoxQueries, MaskQueries, Prediction, Scoring
from backbonekit.contract.processing import Processing
from backbonekit.errors import StorageError
from backbonekit.export.outputs import kind_named
from backbonekit.postprocessing.results import DEFAULT_THRESHOLD
from backbonekit.recipe.recipe import plain_data, plain_labels
from backbonekit.recipe.settings import read_labels, read_processing
from backbonekit.version import VERSION
from backbonekit.weights.untrusted_files import parse_json

KEY = "backbonekit"  # of the metadata in an ONNX file
VERSION_OF_METADATA = 1
MAX_METADATA = 16 * 2**20  # characters; 100,000 class names of 100 characters have 10 million
_MAX_TASKS = 16
_TASK_FIELDS = ("prediction", "scoring", "reading", "labels", "ignore_label")
_LARGEST_LABEL = 100_000
_SCORED = (MaskQueries, BoxQueries, BoxCandidates)  # kinds of which a result keeps what scores above a threshold
_FIELDS = ("version", "backbonekit", "processing", "tasks", "decoded", "threshold", "recipe")


@dataclass(frozen=True, slots=True)
class ExportedTask:
    """`kind`: of prediction, None without a head. `scoring`: how its scores are read. `reading`: what a decoded
    prediction was read as, else None. `labels`: the names of its classes. `ignore_label`: of pixels without a class."""

    kind: type[Prediction] | None
    scoring: Scoring | None
    reading: str | None
    labels: Labels | None
    ignore_label: int


@dataclass(frozen=True, slots=True)
class ExportedMetadata:
    """`processing`: how an image becomes the input. `tasks`: by name, '' for the only one. `decoded`: whether the
    outputs are answers rather than predictions. `threshold`: the lowest score that `predict` keeps by default.
    `recipe`: the model's, for people."""

    processing: Processing
    tasks: Mapping[str, ExportedTask]
    decoded: bool
    threshold: float | None
    recipe: Mapping[str, Any]

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": VERSION_OF_METADATA,
                "backbonekit": VERSION,
                "processing": plain_data(asdict(self.processing)),
                "tasks": {name: _plain_task(task) for name, task in self.tasks.items()},
                "decoded": self.decoded,
                "threshold": self.threshold,
                "recipe": self.recipe,
            },
            indent=2,
        )


def metadata_of(
    model: ComposedModel,
    processing: Processing,
    readings: Mapping[str, str],
    threshold: float | None,
    *,
    predicts: bool = True,
) -> ExportedMetadata:
    """`readings`: what each task is decoded as; empty where nothing is decoded. `threshold`: None: the one that
    `predict` takes by default, where all tasks have one. `predicts`: False for a file of features, whatever head the
    model has."""
    tasks = {
        name: ExportedTask(
            model.prediction_kind(name) if predicts else None,
            model.scoring(name) if predicts else None,
            readings.get(name),
            model.task_labels(name),
            model.processor.ignore_label_of(name),
        )
        for name in model.tasks
    }
    if threshold is None and all(task.kind in _SCORED for task in tasks.values()):
        threshold = DEFAULT_THRESHOLD
    return ExportedMetadata(
        processing,
        tasks,
        bool(readings),
        threshold,
        model.recipe.to_dict(),
    )


def read_metadata(text: str, *, shown: str) -> ExportedMetadata:
    """Raises StorageError with everything that is wrong with it. `shown`: the file's name in messages."""
    if len(text) > MAX_METADATA:
        raise StorageError(
            f"{shown}: its metadata has {len(text):,} characters; more than {MAX_METADATA:,} are not read."
        )
    data = parse_json(text, shown=f"{shown}: its metadata")
    version = data.get("version")
    if version != VERSION_OF_METADATA:
        raise StorageError(
            f"{shown}: its metadata has the version {str(version)[:40]!r}; {VERSION_OF_METADATA} is read. The fix: "
            f"export the model again with this version of backbonekit."
        )
    faults: list[str] = [f"{key!r} is missing" for key in _FIELDS if key not in data]
    processing = data.get("processing")
    mean = processing.get("mean") if isinstance(processing, dict) else None
    fields = read_processing(processing, len(mean) if isinstance(mean, list) else 3, faults)
    tasks = _read_tasks(data.get("tasks"), faults)
    threshold, decoded = data.get("threshold"), data.get("decoded")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (is_number and 0 <= threshold <= 1):
        faults.append("threshold must be null or a number from 0 to 1")
    if not isinstance(decoded, bool):
        faults.append("decoded must be true or false")
    recipe = data.get("recipe")
    if not isinstance(recipe, dict):
        faults.append("recipe must be a mapping")
    if faults:
        raise StorageError(f"{shown}: its metadata cannot be read: {'; '.join(faults)[:2000]}.")
    return ExportedMetadata(Processing(**fields), tasks, decoded, threshold, recipe)  # type: ignore[arg-type]


def _plain_task(task: ExportedTask) -> dict[str, Any]:
    kind = None if task.kind is None else task.kind.__name__
    return {
        "prediction": kind,
        "scoring": task.scoring,
        "reading": task.reading,
        "labels": plain_labels(task.labels),
        "ignore_label": task.ignore_label,
    }


def _read_tasks(data: Any, faults: list[str]) -> dict[str, ExportedTask]:
    if not isinstance(data, dict) or not 1 <= len(data) <= _MAX_TASKS:
        faults.append(f"tasks must be a mapping of 1 to {_MAX_TASKS} tasks")
        return {}
    tasks = {}
    for name, task in data.items():
        if not isinstance(task, dict) or task.keys() != set(_TASK_FIELDS):
            faults.append(f"each task must have {', '.join(_TASK_FIELDS)}, and nothing else")
            continue
        labels, ignore_label = read_labels(task["labels"], faults), task["ignore_label"]
        kind = kind_named(task["prediction"]) if isinstance(task["prediction"], str) else None
        scoring, reading = task["scoring"], task["reading"]
        if (task["prediction"] is not None and kind is None) or scoring not in (None, *get_args(Scoring)):
            faults.append(f"the prediction {str(task['prediction'])[:40]!r} scored by {str(scoring)[:40]!r} is unknown")
        elif (kind is None) != (scoring is None) or not (reading is None or isinstance(reading, str)):
            faults.append("prediction, scoring and reading of a task do not belong together")
        elif type(ignore_label) is not int or not -1 <= ignore_label <= _LARGEST_LABEL:
            faults.append(f"ignore_label must be a whole number from -1 to {_LARGEST_LABEL}")
        else:
            tasks[name] = ExportedTask(kind, scoring, reading, labels, ignore_label)
    return tasks
