"""A prediction to results in each image's own pixels. One table holds all that differs by the kind of prediction;
nothing here depends on the architecture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import (
    BoxCandidates,
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    Detections,
    Heatmaps,
    MaskQueries,
    Prediction,
    Scoring,
)
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import Result
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import RecipeError, nearest
from backbonekit.postprocessing.boxes import detect, place_detections, suppress
from backbonekit.postprocessing.classes import top_classes
from backbonekit.postprocessing.depth import depth_maps
from backbonekit.postprocessing.instance import separate_instances
from backbonekit.postprocessing.keypoints import locate_keypoints
from backbonekit.postprocessing.panoptic import segment_panoptic
from backbonekit.postprocessing.semantic import segment_dense, segment_masks

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `to_results`, as the functions of the table read them. `lowest`: `threshold`, by default 0.5."""

    scoring: Scoring
    labels: Labels | None
    threshold: float | None
    top_k: int | None
    mask_threshold: float
    overlap_threshold: float
    ignore_label: int

    @property
    def lowest(self) -> float:
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold

    @property
    def things(self) -> frozenset[int] | None:
        return (None if self.labels is None else self.labels.things) or None

    @property
    def stuff(self) -> frozenset[int]:
        return frozenset() if self.labels is None else self.labels.stuff


Read = Callable[[Any, Sequence[Geometry], Options], Sequence[Result]]


@dataclass(frozen=True, slots=True)
class PredictionKind:
    """What the package knows of one kind of prediction.

    `tasks`: what it can be read as, each with the function that makes one result an image; the first is the default.
    `suggest`: the default by the model's labels instead. `pipeline_tag`: the Hub's word for models that return it.
    `output_names`: transformers' names of its fields, in the order of the fields; empty where there are none.
    """

    tasks: Mapping[str, Read]
    suggest: Callable[[Labels | None], str] | None = None
    pipeline_tag: str | None = None
    output_names: tuple[str, ...] = ()


def _suggested(labels: Labels | None) -> str:
    """Of mask queries. Things and stuff: panoptic; only stuff: semantic; else instance."""
    if labels is None or labels.things is None:
        return "instance"
    if not labels.things:
        return "semantic"
    return "panoptic" if labels.stuff else "instance"


def _instances(prediction: MaskQueries, geometries: Sequence[Geometry], options: Options) -> Sequence[Result]:
    return separate_instances(
        prediction,
        geometries,
        scoring=options.scoring,
        threshold=options.lowest,
        top_k=options.top_k,
        things=options.things,
    )


def _panoptic(prediction: MaskQueries, geometries: Sequence[Geometry], options: Options) -> Sequence[Result]:
    return segment_panoptic(
        prediction,
        geometries,
        scoring=options.scoring,
        threshold=options.lowest,
        mask_threshold=options.mask_threshold,
        overlap_threshold=options.overlap_threshold,
        stuff=options.stuff,
    )


# In each function, p: the prediction, g: the geometries, o: the options.
PREDICTION_KINDS: dict[type[Prediction], PredictionKind] = {
    ClassScores: PredictionKind(
        {"classification": lambda p, g, o: top_classes(p, scoring=o.scoring, threshold=o.threshold, top_k=o.top_k)},
        pipeline_tag="image-classification",
    ),
    DenseLogits: PredictionKind(
        {
            "semantic": lambda p, g, o: segment_dense(
                p, g, scoring=o.scoring, threshold=o.threshold, ignore_label=o.ignore_label
            )
        },
        pipeline_tag="image-segmentation",
        output_names=("logits",),
    ),
    DenseDepth: PredictionKind(
        {"depth": lambda p, g, o: depth_maps(p, g, scoring=o.scoring)},
        pipeline_tag="depth-estimation",
        output_names=("predicted_depth",),
    ),
    MaskQueries: PredictionKind(
        {
            "instance": _instances,
            "semantic": lambda p, g, o: segment_masks(
                p, g, scoring=o.scoring, threshold=o.threshold, ignore_label=o.ignore_label
            ),
            "panoptic": _panoptic,
        },
        suggest=_suggested,
        pipeline_tag="image-segmentation",
        output_names=("class_queries_logits", "masks_queries_logits"),
    ),
    BoxQueries: PredictionKind(
        {"detection": lambda p, g, o: detect(p, g, scoring=o.scoring, threshold=o.lowest, top_k=o.top_k)},
        output_names=("logits", "pred_boxes"),
    ),
    BoxCandidates: PredictionKind(
        {"detection": lambda p, g, o: suppress(p, g, threshold=o.lowest, top_k=o.top_k)},
    ),
    Heatmaps: PredictionKind(
        {"keypoints": lambda p, g, o: locate_keypoints(p, g, threshold=o.threshold)},
        pipeline_tag="keypoint-detection",
        output_names=("heatmaps",),
    ),
    Detections: PredictionKind(
        {"detection": lambda p, g, o: place_detections(p, g, threshold=o.lowest, top_k=o.top_k)},
    ),
}


def tasks_of(kind: type[Prediction]) -> tuple[str, ...]:
    """The tasks that a kind of prediction can be read as; none of one without post-processing."""
    known = PREDICTION_KINDS.get(kind)
    return () if known is None else tuple(known.tasks)


def to_results(
    prediction: Prediction,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring,
    task: str | None = None,
    labels: Labels | None = None,
    threshold: float | None = None,
    top_k: int | None = None,
    mask_threshold: float = 0.5,
    overlap_threshold: float = 0.8,
    ignore_label: int = IGNORE_LABEL,
) -> list[Result]:
    """One result an image, on the CPU, with padding, crop and resize undone.

    `task`: how mask queries are read: semantic, instance or panoptic; by default what `labels` suggest (things and
    stuff: panoptic; only stuff: semantic; else instance). `threshold`: the lowest score that is kept (0.5; of classes
    none, unless they are scored one by one; of keypoints 0). `top_k`: how many at most (5 classes; as many masks or
    boxes as queries). `mask_threshold` and `overlap_threshold` are panoptic's. What a centre crop hid is `ignore_label`
    (semantic), no segment, or NaN (depth). Raises RecipeError for a task that this prediction cannot be read as.
    """
    task = choose_task(prediction, task, labels)
    options = Options(scoring, labels, threshold, top_k, mask_threshold, overlap_threshold, ignore_label)
    return list(PREDICTION_KINDS[type(prediction)].tasks[task](prediction, geometries, options))


def choose_task(prediction: Prediction, task: str | None = None, labels: Labels | None = None) -> str:
    """`task` if this kind of prediction has it, else RecipeError; without `task`, the kind's default."""
    return choose_task_of(type(prediction), task, labels)


def choose_task_of(prediction: type[Prediction], task: str | None = None, labels: Labels | None = None) -> str:
    """`choose_task` before there is a prediction."""
    name = prediction.__name__
    kind = PREDICTION_KINDS.get(prediction)
    if kind is None:
        known = ", ".join(sorted(known.__name__ for known in PREDICTION_KINDS))
        raise RecipeError(f"a prediction of kind {name} has no post-processing; those that have: {known}.")
    if task is None:
        return default_task(prediction, labels)
    if task not in kind.tasks:
        raise RecipeError(
            f"task={task!r}: this model's prediction ({name}) cannot be read so; {nearest(task, tuple(kind.tasks))}"
        )
    return task


def default_task(kind: type[Prediction], labels: Labels | None) -> str:
    """What a prediction of this kind, one of `PREDICTION_KINDS`, is read as where nobody says."""
    entry = PREDICTION_KINDS[kind]
    return next(iter(entry.tasks)) if entry.suggest is None else entry.suggest(labels)
