"""Predictions for image files by the machines of a Ray cluster, as `predict_each` returns them on one machine."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backbonekit.assembly.predict import FilePrediction, predict_each
from backbonekit.errors import StorageError
from backbonekit.image_processing.reading import open_image
from backbonekit.inference.ray_engine import over_cluster

_FILES_AT_ONCE = 4  # an actor's share, of which those that are not done are lost with it


def predict_over_cluster(
    model: Any,
    files: Sequence[Path],
    *,
    task: str | None = None,
    threshold: float | None = None,
    top_k: int | None = None,
    workers: int | None = None,
) -> Iterator[FilePrediction]:
    """One entry a file, in order, as they come. `workers`: actors, see `ray_engine.py`. Images are read once more here,
    since sending them would take longer."""
    work = partial(_answers, options={"task": task, "threshold": threshold, "top_k": top_k})
    answers = over_cluster(model, files, work, files_at_once=_FILES_AT_ONCE, workers=workers)
    for file, (result, error) in zip(files, answers, strict=True):
        if error is not None:
            yield FilePrediction(file, error=error)
            continue
        try:
            yield FilePrediction(file, open_image(file), result)
        except StorageError as gone:
            yield FilePrediction(file, error=gone)


def _answers(model: Any, files: list[Path], *, options: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(prediction.result, prediction.error) for prediction in predict_each(model, files, **options)]
