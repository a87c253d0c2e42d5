"""Any answer to results in each image's own pixels. The way goes by the kind of prediction, never by the
architecture."""

from collections.abc import Sequence

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
from backbonekit.errors import RecipeError, nearest
from backbonekit.postprocessing.boxes import detect, place_detections, suppress
from backbonekit.postprocessing.classes import top_classes
from backbonekit.postprocessing.depth import depth_maps
from backbonekit.postprocessing.instance import separate_instances
from backbonekit.postprocessing.keypoints import locate_keypoints
from backbonekit.postprocessing.panoptic import segment_panoptic
from backbonekit.postprocessing.semantic import segment_dense, segment_masks

# The tasks that each kind of prediction can be read as; the first is taken when nobody says.
TASKS: dict[type[Prediction], tuple[str, ...]] = {
    ClassScores: ("classification",),
    DenseLogits: ("semantic",),
    DenseDepth: ("depth",),
    MaskQueries: ("instance", "semantic", "panoptic"),
    BoxQueries: ("detection",),
    BoxCandidates: ("detection",),
    Heatmaps: ("keypoints",),
    Detections: ("detection",),
}
DEFAULT_THRESHOLD = 0.5


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
) -> list[Result]:
    """One result an image, on the CPU, with padding, crop and resize undone.

    `task`: how mask queries are read: semantic, instance or panoptic; by default what `labels` suggest (things and
    stuff: panoptic; only stuff: semantic; else instance). `threshold`: the lowest score that is kept (0.5; of classes
    none; of keypoints 0). `top_k`: how many at most (5 classes; as many masks or boxes as queries). `mask_threshold`
    and `overlap_threshold` are panoptic's. What a centre crop hid is 255 (semantic), no segment, or NaN (depth).
    Raises RecipeError for a task that this kind of prediction has no reading for.
    """
    task = choose_task(prediction, task, labels)
    lowest = DEFAULT_THRESHOLD if threshold is None else threshold
    if isinstance(prediction, ClassScores):
        return list(top_classes(prediction, scoring=scoring, threshold=threshold, top_k=top_k))
    if isinstance(prediction, DenseLogits):
        return list(segment_dense(prediction, geometries, scoring=scoring, threshold=threshold))
    if isinstance(prediction, DenseDepth):
        return list(depth_maps(prediction, geometries, scoring=scoring))
    if isinstance(prediction, Heatmaps):
        return list(locate_keypoints(prediction, geometries, threshold=threshold))
    if isinstance(prediction, BoxQueries):
        return list(detect(prediction, geometries, scoring=scoring, threshold=lowest, top_k=top_k))
    if isinstance(prediction, BoxCandidates):
        return list(suppress(prediction, geometries, threshold=lowest, top_k=top_k))
    if isinstance(prediction, Detections):
        return list(place_detections(prediction, geometries, threshold=lowest, top_k=top_k))
    assert isinstance(prediction, MaskQueries)
    if task == "semantic":
        return list(segment_masks(prediction, geometries, scoring=scoring))
    if task == "instance":
        things = None if labels is None else labels.things
        return list(
            separate_instances(
                prediction, geometries, scoring=scoring, threshold=lowest, top_k=top_k, things=things or None
            )
        )
    return list(
        segment_panoptic(
            prediction,
            geometries,
            scoring=scoring,
            threshold=lowest,
            mask_threshold=mask_threshold,
            overlap_threshold=overlap_threshold,
            stuff=frozenset() if labels is None else labels.stuff,
        )
    )


def choose_task(prediction: Prediction, task: str | None = None, labels: Labels | None = None) -> str:
    """The asked task if this kind of prediction has it, else RecipeError; without one, what the labels suggest."""
    kind = type(prediction)
    if kind not in TASKS:
        known = ", ".join(sorted(known.__name__ for known in TASKS))
        raise RecipeError(f"a prediction of kind {kind.__name__} has no post-processing; those that have: {known}.")
    allowed = TASKS[kind]
    if task is None:
        return _suggested(labels) if kind is MaskQueries else allowed[0]
    if task not in allowed:
        raise RecipeError(
            f"task={task!r}: this model's prediction ({kind.__name__}) cannot be read so; {nearest(task, allowed)}"
        )
    return task


def _suggested(labels: Labels | None) -> str:
    if labels is None or labels.things is None:
        return "instance"
    if not labels.things:
        return "semantic"
    return "panoptic" if labels.stuff else "instance"
