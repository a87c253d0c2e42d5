"""What an evaluation is given: results of a batch, in each image's own pixels, read off the predictions as its measures
require."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from backbonekit.assembly.inference import Predictor
from backbonekit.contract.predictions import Prediction
from backbonekit.contract.processing import Geometry
from backbonekit.errors import RecipeError, nearest
from backbonekit.evaluation import MEASURES, Evaluation
from backbonekit.postprocessing.results import PREDICTION_KINDS, to_results


def evaluation_of(model: Predictor, *, task: str | None = None, keys: Iterable[str] = ()) -> Evaluation:
    """An evaluation of all tasks of a model, empty. `task` and `keys`: see `readings_of`."""
    readings = readings_of(model, task=task, keys=keys)
    labels = {name: model.task_labels(name) for name in readings}
    return Evaluation(readings, labels, ignore_label={name: model.processor.ignore_label_of(name) for name in readings})


def readings_of(model: Predictor, *, task: str | None = None, keys: Iterable[str] = ()) -> dict[str, str]:
    """What the prediction of each task is measured as: detection, semantic, ...; tasks without a head are left out.

    `task`: one of the words, for masks that can be read in several ways, or the name of one of several tasks. `keys`:
    of a target; without `task`, masks whose default has no ground truth in it are read as what has (a model that learns
    from `segmentation` is measured by it). Raises RecipeError for a task that the model does not have.
    """
    given = frozenset(keys)
    readings: dict[str, str] = {}
    for name in model.tasks:
        kind = PREDICTION_KINDS.get(model.prediction_kind(name))  # type: ignore[arg-type]
        if kind is None or (task in model.tasks and task != name):
            continue
        default = next(iter(kind.tasks)) if kind.suggest is None else kind.suggest(model.task_labels(name))
        if task is not None and task in kind.tasks:
            readings[name] = task
        elif task is None or task == name:
            fitting = [one for one in (default, *kind.tasks) if given.issuperset(MEASURES[one].needs)]
            readings[name] = fitting[0] if fitting else default
    if not readings:
        _refuse(model, task)
    return readings


def results_of(
    model: Predictor,
    predictions: Prediction | Mapping[str, Prediction],
    geometries: Sequence[Geometry],
    evaluation: Evaluation,
) -> list[Any]:
    """One result an image, as `evaluation.update` takes them; of a model with named tasks a dict by task."""
    named: Mapping[str, Prediction] = {"": predictions} if isinstance(predictions, Prediction) else predictions
    by_task = {
        name: to_results(
            named[name],
            geometries,
            scoring=model.scoring(name),  # type: ignore[arg-type] - a task that predicted has a head
            task=reading,
            labels=model.task_labels(name),
            threshold=evaluation.options(name).threshold,
            top_k=evaluation.options(name).top_k,
            ignore_label=model.processor.ignore_label_of(name),
        )
        for name, reading in evaluation.readings.items()
    }
    if tuple(by_task) == ("",):
        return list(by_task[""])
    return [dict(zip(by_task, results, strict=True)) for results in zip(*by_task.values(), strict=True)]


def _refuse(model: Predictor, task: str | None) -> NoReturn:
    words = {
        word
        for name in model.tasks
        if (kind := model.prediction_kind(name)) in PREDICTION_KINDS
        for word in PREDICTION_KINDS[kind].tasks
    }
    if not words:
        raise RecipeError("this model predicts nothing that can be measured; add a head, for example head=fcn.")
    raise RecipeError(
        f"task={task!r}: this model has no such task; {nearest(str(task), {*words, *model.tasks} - {''})}"
    )
