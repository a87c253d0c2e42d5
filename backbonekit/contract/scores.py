"""What an evaluation measured: numbers by name, numbers of each class, and what its plots show. No torch here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

_LOWER_IS_BETTER = frozenset({"abs_rel", "rmse", "loss"})


def lower_is_better(name: str) -> bool:
    """Whether a smaller value of this metric is better; `name` may have a task before it (`depth/rmse`)."""
    return name.rpartition("/")[2] in _LOWER_IS_BETTER


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Metrics of each class. `columns`: their names. `rows`: (name of the class, its category id, values); a value is
    NaN where the ground truth and the results say nothing about the class."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[float, ...]], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a class was taken for another. `counts`: int64 [classes, classes + 1], ground truth by result; the last
    column counts what has no class in the result. `names`: of the classes."""

    counts: np.ndarray
    names: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class PrecisionCurves:
    """Precision at each recall. `recalls`: float [R] in [0, 1]. `precisions`: float [classes, R]; NaN for a class that
    the ground truth does not have. `names`: of the classes."""

    recalls: np.ndarray
    precisions: np.ndarray
    names: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """What an evaluation measured.

    `main`: the metric that checkpoints are chosen by, with its value. `summary`: all metrics of the whole data set, in
    [0, 1] but for depth's; NaN where nothing could be measured. `per_class`: a table each of boxes, masks, ...
    `num_images`: how many images were measured, each once. `plots`: what can be drawn of it. `readings`: what the
    prediction of each task was measured as, by the name of the task, '' for the only one.
    """

    main: tuple[str, float]
    summary: Mapping[str, float]
    per_class: tuple[ClassTable, ...] = ()
    num_images: int = 0
    plots: tuple[Confusion | PrecisionCurves, ...] = ()
    readings: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `scores.json`; what is not defined (NaN) is None."""
        name, value = self.main
        return {
            "tasks": dict(self.readings),
            "main": {"name": name, "value": _plain(value), "lower_is_better": lower_is_better(name)},
            "summary": {metric: _plain(number) for metric, number in self.summary.items()},
            "num_images": self.num_images,
            "per_class": [_table_dict(table) for table in self.per_class],
        }


def together(by_task: Mapping[str, Scores]) -> Scores:
    """The scores of several tasks as one: `TASK/METRIC`, the main metric that of the first task. Of the only task of a
    model without named tasks ('') its own."""
    if tuple(by_task) == ("",):
        return by_task[""]
    name, value = next(iter(by_task.values())).main
    return Scores(
        main=(f"{next(iter(by_task))}/{name}", value),
        summary={f"{task}/{metric}": one for task, scores in by_task.items() for metric, one in scores.summary.items()},
        per_class=tuple(_titled(table, task) for task, scores in by_task.items() for table in scores.per_class),
        num_images=max(scores.num_images for scores in by_task.values()),
        plots=tuple(_titled(plot, task) for task, scores in by_task.items() for plot in scores.plots),
    )


def _titled(part: Any, task: str) -> Any:
    return replace(part, title=f"{task} {part.title}".strip())


def _table_dict(table: ClassTable) -> dict[str, Any]:
    rows = [
        {"name": name, "category_id": number, **dict(zip(table.columns, map(_plain, values), strict=True))}
        for name, number, values in table.rows
    ]
    return {"title": table.title, "classes": rows}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
