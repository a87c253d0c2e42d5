"""Images through a model to results, in each image's own pixels."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from backbonekit.assembly.dense_views import views_of
from backbonekit.assembly.inference import Predictor, evaluating, run
from backbonekit.assembly.tiles import Options, TileProgress, predict_scene
from backbonekit.assembly.top_down_pose import boxes_of_each, check_fixed_size, crops_of, on_image
from backbonekit.contract.predictions import Heatmaps, Prediction
from backbonekit.contract.results import KeypointResult, Result, SemanticResult
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.image_processing.processor import listed
from backbonekit.image_processing.reading import open_image
from backbonekit.image_processing.scenes import open_scene
from backbonekit.postprocessing.results import tasks_of, to_results

Results = Result | dict[str, Result]  # a dict by task where a model has several
PERSONS_IN_A_BATCH = 16
Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(frozen=True, slots=True)
class FilePrediction:
    """What came of one file: an image and its result, or the error that says why not."""

    source: str | os.PathLike[str]
    image: Image.Image | np.ndarray | None = None
    result: Results | None = None
    error: StorageError | ContractError | None = None


def predict(
    model: Predictor,
    images: ImageLike | Sequence[ImageLike],
    *,
    boxes: Any = None,
    task: str | None = None,
    threshold: float | None = None,
    top_k: int | None = None,
    batch_size: int | None = None,
    tile: int | None = None,
    overlap: int = 0,
    augment: Sequence[str | float] = (),
    progress: Progress | None = None,
) -> list[Any]:
    """One result an image (`contract/results.py`), on the CPU; of a model with several tasks a dict by task.

    `images`: one or a list, of any kind that the processor reads. `boxes`: for top-down pose estimation, the boxes
    of the persons: [N, 4] for a single image, a list with one [N, 4] for each of a list of images; left, top,
    right, bottom in pixels of the upright image. The result of an image is then a list with one `KeypointResult`
    for each box, in the image's own pixels, and `batch_size` counts persons (16). `task`: which prediction: semantic,
    instance or panoptic for mask queries; or the name of one of several tasks. `threshold`: the lowest score that
    is kept. `top_k`: how many classes, masks or boxes at most. `batch_size`: images padded together (1); a larger one
    is faster for equal sizes. `tile`, `overlap`: large images in squares of `tile` pixels that share `overlap` pixels
    with their neighbours, put together again. `augment`: for dense predictions, other views of each image to average
    over, `flip` and scales, as `["flip", 0.75, 1.25]`. `progress` is called after every batch.
    Raises StorageError for a file that is no image, RecipeError for a task that the model does not have,
    ContractError for boxes without an area, or given to a model that predicts no keypoints.
    """
    every = listed(images)
    if batch_size is None:
        batch_size = 1 if boxes is None else PERSONS_IN_A_BATCH
    _check(model, batch_size)
    if tile is not None or overlap or augment:
        if boxes is not None:
            raise ContractError("boxes= are cut out one by one, without tile=, overlap= or augment=.")
        given: Any = {"task": task, "threshold": threshold, "top_k": top_k}
        large: list[Results] = []
        for image in every:
            result = predict_large(model, image, tile=tile, overlap=overlap, augment=augment, **given)
            large.append(_whole_numbers(result))
            if progress is not None:
                progress(len(large), len(every))
        return large
    if boxes is not None:
        _check_pose(model, task)
        each = boxes_of_each(boxes, len(every), is_single=_is_single(images))
        return _people(model, every, each, task, threshold, top_k, batch_size, progress)
    results: list[Results] = []
    with evaluating(model):  # type: ignore[arg-type]
        for start in range(0, len(every), batch_size):
            results += _batch(model, every[start : start + batch_size], task, threshold, top_k)
            if progress is not None:
                progress(len(results), len(every))
    return results


def _is_single(images: Any) -> bool:
    """Whether it is one image, as `listed` reads it, and no list of images."""
    if isinstance(images, (np.ndarray, Tensor)):
        return images.ndim != 4
    return isinstance(images, (str, os.PathLike, Image.Image))


def _check_pose(model: Predictor, task: str | None) -> None:
    """Raises ContractError for a model that cannot read boxes of persons, before it runs."""
    check_fixed_size(model.processor.processing)
    # Of several tasks, one that finds keypoints must be named.
    name = task if task is not None and task in model.tasks else ""
    if name not in model.tasks or model.prediction_kind(name) is not Heatmaps:
        raise ContractError(
            "boxes= is for models that find the keypoints of persons, such as model=vitpose_base; "
            "this model finds no keypoints. The fix: leave boxes out."
        )


def _people(
    model: Predictor,
    images: Sequence[ImageLike],
    boxes: Sequence[Any],
    task: str | None,
    threshold: float | None,
    top_k: int | None,
    batch_size: int,
    progress: Progress | None,
) -> list[list[KeypointResult]]:
    people: list[list[KeypointResult]] = []
    for image, boxes_xyxy in zip(images, boxes, strict=True):
        crops, regions = crops_of(image, boxes_xyxy, model.processor.processing)
        results = (
            predict(model, crops, task=task, threshold=threshold, top_k=top_k, batch_size=batch_size) if crops else []
        )
        people.append(on_image(results, regions))
        if progress is not None:
            progress(len(people), len(images))
    return people


def predict_each(
    model: Predictor,
    files: Iterable[str | os.PathLike[str]],
    *,
    task: str | None = None,
    threshold: float | None = None,
    top_k: int | None = None,
    batch_size: int = 1,
) -> Iterator[FilePrediction]:
    """One entry a file, in order, as they come: a folder of any size passes through a bounded memory. A file that
    is no image has an entry with an error and does not stop the rest."""
    _check(model, batch_size)
    remaining = iter(files)
    while chunk := list(islice(remaining, batch_size)):
        opened = [_open(file) for file in chunk]
        readable = [entry for entry in opened if entry.image is not None]
        with evaluating(model):  # type: ignore[arg-type]
            predicted = _predicted(model, readable, task, threshold, top_k)
        for entry in opened:
            yield entry if entry.image is None else next(predicted)


def _open(file: str | os.PathLike[str]) -> FilePrediction:
    try:
        return FilePrediction(file, image=open_image(file))
    except StorageError as error:
        return FilePrediction(file, error=error)


def _predicted(
    model: Predictor, readable: list[FilePrediction], task: str | None, threshold: float | None, top_k: int | None
) -> Iterator[FilePrediction]:
    if not readable:
        return iter(())
    try:
        images = [entry.image for entry in readable]
        results = _batch(model, images, task, threshold, top_k)  # type: ignore[arg-type]
    except ContractError as error:  # an image that this processing cannot take; its batch-mates are not to blame
        if len(readable) == 1:
            return iter([FilePrediction(readable[0].source, error=error)])
        alone = [next(_predicted(model, [entry], task, threshold, top_k)) for entry in readable]
        return iter(alone)
    return iter(
        FilePrediction(entry.source, entry.image, result) for entry, result in zip(readable, results, strict=True)
    )


def _batch(
    model: Predictor, images: Sequence[ImageLike], task: str | None, threshold: float | None, top_k: int | None
) -> list[Results]:
    batch, geometries = model.processor.prepare(images)
    predictions = run(model, batch)
    chosen = _choose({name: type(prediction) for name, prediction in predictions.items()}, task)
    by_task = {
        name: to_results(
            predictions[name],
            geometries,
            scoring=model.scoring(name),  # type: ignore[arg-type] - a task that predicted has a head
            task=reading,
            labels=model.task_labels(name),
            threshold=threshold,
            top_k=top_k,
            ignore_label=model.processor.ignore_label_of(name),
        )
        for name, reading in chosen.items()
    }
    if len(by_task) == 1 and ("" in by_task or task in by_task):
        return list(*by_task.values())
    return [dict(zip(by_task, results, strict=True)) for results in zip(*by_task.values(), strict=True)]


def _choose(kinds: Mapping[str, type[Prediction]], task: str | None) -> dict[str, str | None]:
    """Which predictions are read, and how: by the name of a task, or as a task that some of them can be read as."""
    if tuple(kinds) == ("",):
        return {"": task}
    if task is None or task in kinds:
        return {name: None for name in kinds if task in (None, name)}
    if not any(task in tasks_of(kind) for kind in kinds.values()):
        shown = ", ".join(f"{name} ({' or '.join(tasks_of(kind))})" for name, kind in kinds.items())
        raise RecipeError(f"task={task!r}: this model has the tasks {shown}.")
    return {name: task if task in tasks_of(kind) else None for name, kind in kinds.items()}


def predict_large(
    model: Predictor,
    image: ImageLike,
    *,
    tile: int | None = None,
    overlap: int = 0,
    augment: Sequence[str | float] = (),
    task: str | None = None,
    threshold: float | None = None,
    top_k: int | None = None,
    progress: TileProgress | None = None,
) -> Results:
    """One result, as `predict` returns it, of an image that is read and predicted tile by tile; see
    `assembly/tiles.py: predict_scene`. `progress` is called after every tile."""
    _check(model, 1)
    options = Options(tile, overlap, views_of(augment), threshold, top_k)
    options.check()
    kinds = {name: kind for name in model.tasks if (kind := model.prediction_kind(name)) is not None}
    found = predict_scene(model, open_scene(image), _choose(kinds, task), options, progress)
    only = len(found) == 1 and ("" in found or task in found)
    return next(iter(found.values())) if only else found


def _whole_numbers(result: Results) -> Results:
    """Class maps as int64, which tensors are indexed by."""
    if isinstance(result, dict):
        return {name: _whole_numbers(one) for name, one in result.items()}  # type: ignore[misc]
    return replace(result, segmentation=result.segmentation.long()) if isinstance(result, SemanticResult) else result


def _check(model: Predictor, batch_size: int) -> None:
    if batch_size < 1:
        raise RecipeError(f"batch_size={batch_size}: a batch has at least 1 image.")
    if all(model.scoring(name) is None for name in model.tasks):
        raise RecipeError("this model has no head, so it predicts nothing; add one, for example head=fcn.")
