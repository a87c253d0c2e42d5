"""One large image in tiles through a model to one result of the whole, and dense predictions from several views."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from backbonekit.assembly.dense_views import AS_IT_IS, View, maps_of, predictions_of
from backbonekit.assembly.inference import Predictor, evaluating
from backbonekit.contract.predictions import DenseDepth, DenseLogits, MaskQueries, Prediction, Scoring
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import DepthResult, InstanceResult, Result, SemanticResult
from backbonekit.errors import RecipeError
from backbonekit.image_processing.scenes import Scene
from backbonekit.postprocessing.instance_merging import InstanceTiles
from backbonekit.postprocessing.results import choose_task_of, to_results
from backbonekit.postprocessing.semantic import Reading, best_class, dense_reading, mask_reading
from backbonekit.postprocessing.stitching import Blend
from backbonekit.postprocessing.tiling import Span, spans

TileProgress = Callable[[int, int], object]  # (tiles done, tiles in all)
_SMALLEST_TILE = 32  # pixels
_DENSE_TASKS = ("semantic", "depth")
_INSTANCE_TASKS = ("detection", "instance")
_MOST_INT16 = 32_767


@dataclass(frozen=True, slots=True)
class Options:
    """`tile`: the side of a tile in pixels of the image, None for the whole image; `overlap`: pixels that neighbours
    share. `views`: of each tile. `threshold`, `top_k`: as of `predict`."""

    tile: int | None = None
    overlap: int = 0
    views: tuple[View, ...] = AS_IT_IS
    threshold: float | None = None
    top_k: int | None = None

    def check(self) -> None:
        """Raises RecipeError for tiles that cannot be."""
        if self.tile is None:
            if self.overlap:
                raise RecipeError(f"overlap={self.overlap} is of tiles: give tile= too, as tile=1024 overlap=128.")
            return
        if self.tile < _SMALLEST_TILE:
            raise RecipeError(f"tile={self.tile}: a tile has a side of at least {_SMALLEST_TILE} pixels.")
        if not 0 <= 2 * self.overlap <= self.tile:
            raise RecipeError(
                f"overlap={self.overlap}: from 0 to half of tile={self.tile}, which is {self.tile // 2}; an eighth is"
                " usual."
            )


class _Merger(Protocol):
    def add(self, row: Span, index: int, tile: Mapping[View, tuple[Prediction, Geometry]]) -> None: ...

    def result(self) -> Result: ...


def predict_scene(
    model: Predictor,
    scene: Scene,
    readings: Mapping[str, str | None],
    options: Options,
    progress: TileProgress | None = None,
) -> dict[str, Result]:
    """The result of each task in `readings` (by name, with how its prediction is read), in pixels of the scene.

    Dense predictions are blended where tiles overlap, things merged (`postprocessing/stitching.py`,
    `instance_merging.py`). A class map has the type int16, or int32 where its numbers need it. Raises RecipeError for a
    prediction that has no parts: classes of the whole image, keypoints, panoptic segments, and depth up to scale.
    """
    options.check()
    height, width = scene.size
    rows, columns = (spans(side, options.tile or side, options.overlap) for side in (height, width))
    mergers = {name: _merger(model, name, task, scene.size, columns, options) for name, task in readings.items()}
    done = 0
    with evaluating(model):  # type: ignore[arg-type]
        for row in rows:
            for index, column in enumerate(columns):
                image = scene.read(row.first, column.first, row.length, column.length)
                found = {view: predictions_of(model, image, view) for view in options.views}
                for name, merger in mergers.items():
                    merger.add(row, index, {view: (every[name], where) for view, (every, where) in found.items()})
                done += 1
                if progress is not None:
                    progress(done, len(rows) * len(columns))
    return {name: merger.result() for name, merger in mergers.items()}


def _merger(
    model: Predictor,
    name: str,
    task: str | None,
    size: tuple[int, int],
    columns: Sequence[Span],
    options: Options,
) -> _Merger:
    kind, scoring = model.prediction_kind(name), model.scoring(name)
    assert kind is not None  # a task that predicts has a head
    assert scoring is not None
    task = choose_task_of(kind, task, model.task_labels(name))
    what = "tile=" if options.tile is not None else "augment="
    if task in _INSTANCE_TASKS:
        if len(options.views) > 1:
            raise RecipeError(f"augment= is for dense predictions; task={task} finds things, which are not averaged.")
        return _Things(model, name, scoring, task, size, columns, options)
    if task not in _DENSE_TASKS:
        fix = "The fix: task=semantic or task=instance." if kind is MaskQueries else "The fix: leave it out."
        raise RecipeError(f"{what} does not go with task={task}, whose results have no parts to put together. {fix}")
    if task == "depth" and scoring == "nearness" and options.tile is not None:
        raise RecipeError(
            "tile= does not go with relative depth: every tile would have a scale of its own. The fix: leave tile= out,"
            " or a model of metric depth."
        )
    ignore_label = model.processor.ignore_label_of(name)
    return _Dense(ignore_label, kind, scoring, size, columns, options)


class _Dense:
    """Blends maps, and keeps one number a pixel."""

    def __init__(
        self,
        ignore_label: int,
        kind: type[Prediction],
        scoring: Scoring,
        size: tuple[int, int],
        columns: Sequence[Span],
        options: Options,
    ) -> None:
        self.scoring: Scoring = scoring
        self.kind = kind
        self.ignore_label = ignore_label
        self.threshold = options.threshold
        self.size = size
        self.reading: Reading | None = None
        self.pixels: Tensor | None = None
        self.blend = Blend(columns, self._take)

    def add(self, row: Span, index: int, tile: Mapping[View, tuple[Prediction, Geometry]]) -> None:
        with torch.inference_mode():
            total: Any = 0
            for view, (prediction, geometry) in tile.items():
                total = total + maps_of(prediction, geometry, self.scoring, mirrored=view.mirrored)
            self.blend.add(row, index, total / len(tile))

    def _take(self, top: int, left: int, maps: Tensor) -> None:
        height, width = maps.shape[-2:]
        values = maps[0].cpu() if self.kind is DenseDepth else self._labels(maps)
        if self.pixels is None:
            self.pixels = torch.empty(self.size, dtype=values.dtype)
        self.pixels[top : top + height, left : left + width] = values

    def _labels(self, maps: Tensor) -> Tensor:
        if self.reading is None:
            given: Any = {"threshold": self.threshold, "ignore_label": self.ignore_label}
            count = maps.shape[0]
            is_logits = self.kind is DenseLogits
            self.reading = (
                dense_reading(count, scoring=self.scoring, **given) if is_logits else mask_reading(count, **given)
            )
        size = (maps.shape[-2], maps.shape[-1])
        labels = best_class(maps, Geometry(size, size, (0, 0), size, size), self.reading).segmentation
        most = max(maps.shape[0], abs(self.ignore_label))
        return labels.to(torch.int16 if most <= _MOST_INT16 else torch.int32)

    def result(self) -> Result:
        assert self.pixels is not None
        if self.kind is DenseDepth:
            return DepthResult(self.pixels, is_distance=self.scoring != "nearness")
        assert self.reading is not None
        return SemanticResult(self.pixels, self.ignore_label, self.reading.is_binary)


class _Things:
    """Collects the things of every tile."""

    def __init__(
        self,
        model: Predictor,
        name: str,
        scoring: Scoring,
        task: str,
        size: tuple[int, int],
        columns: Sequence[Span],
        options: Options,
    ) -> None:
        self.labels = model.task_labels(name)
        self.ignore_label = model.processor.ignore_label_of(name)
        self.scoring: Scoring = scoring
        self.task = task
        self.size = size
        self.columns = columns
        self.options = options
        self.found = InstanceTiles()

    def add(self, row: Span, index: int, tile: Mapping[View, tuple[Prediction, Geometry]]) -> None:
        ((prediction, geometry),) = tile.values()
        (result,) = to_results(
            prediction,
            [geometry],
            scoring=self.scoring,
            task=self.task,
            labels=self.labels,
            threshold=self.options.threshold,
            ignore_label=self.ignore_label,
        )
        assert isinstance(result, InstanceResult)
        self.found.add(self.columns[index].first, row.first, result)

    def result(self) -> Result:
        return self.found.merged(self.size, self.options.top_k)
