"""Any answer to results in each picture's own pixels. The way goes by the kind of answer, never by the architecture."""

from collections.abc import Sequence

from backbonekit.contract.answers import (
    Answer,
    BoxCandidates,
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    Detections,
    Heatmaps,
    MaskQueries,
    Scoring,
)
from backbonekit.contract.labels import Labels
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import Result
from backbonekit.errors import RecipeError, nearest
from backbonekit.image_processing.after.candidates import suppress
from backbonekit.image_processing.after.classes import top_classes
from backbonekit.image_processing.after.depth import depth_maps
from backbonekit.image_processing.after.detection import detect
from backbonekit.image_processing.after.detections import place_detections
from backbonekit.image_processing.after.instance import separate_instances
from backbonekit.image_processing.after.keypoints import locate_keypoints
from backbonekit.image_processing.after.panoptic import segment_panoptic
from backbonekit.image_processing.after.semantic import segment_dense, segment_masks

# The tasks that each kind of answer can be read as; the first is taken when nobody says.
TASKS: dict[type[Answer], tuple[str, ...]] = {
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
    answer: Answer,
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
    """One result a picture, on the CPU, with padding, crop and resize undone.

    `task`: how mask queries are read: semantic, instance or panoptic; by default what `labels` suggest (things and
    stuff: panoptic; only stuff: semantic; else instance). `threshold`: the lowest score that is kept (0.5; of classes
    none; of keypoints 0). `top_k`: how many at most (5 classes; as many masks or boxes as queries). `mask_threshold`
    and `overlap_threshold` are panoptic's. What a centre crop hid is 255 (semantic), no segment, or NaN (depth).
    Raises RecipeError for a task that this kind of answer has no reading for.
    """
    task = choose_task(answer, task, labels)
    lowest = DEFAULT_THRESHOLD if threshold is None else threshold
    if isinstance(answer, ClassScores):
        return list(top_classes(answer, scoring=scoring, threshold=threshold, top_k=top_k))
    if isinstance(answer, DenseLogits):
        return list(segment_dense(answer, geometries, scoring=scoring, threshold=threshold))
    if isinstance(answer, DenseDepth):
        return list(depth_maps(answer, geometries, scoring=scoring))
    if isinstance(answer, Heatmaps):
        return list(locate_keypoints(answer, geometries, threshold=threshold))
    if isinstance(answer, BoxQueries):
        return list(detect(answer, geometries, scoring=scoring, threshold=lowest, top_k=top_k))
    if isinstance(answer, BoxCandidates):
        return list(suppress(answer, geometries, threshold=lowest, top_k=top_k))
    if isinstance(answer, Detections):
        return list(place_detections(answer, geometries, threshold=lowest, top_k=top_k))
    assert isinstance(answer, MaskQueries)
    if task == "semantic":
        return list(segment_masks(answer, geometries, scoring=scoring))
    if task == "instance":
        things = None if labels is None else labels.things
        return list(
            separate_instances(
                answer, geometries, scoring=scoring, threshold=lowest, top_k=top_k, things=things or None
            )
        )
    return list(
        segment_panoptic(
            answer,
            geometries,
            scoring=scoring,
            threshold=lowest,
            mask_threshold=mask_threshold,
            overlap_threshold=overlap_threshold,
            stuff=frozenset() if labels is None else labels.stuff,
        )
    )


def choose_task(answer: Answer, task: str | None = None, labels: Labels | None = None) -> str:
    """The asked task if this kind of answer has it, else RecipeError; without one, what the labels suggest."""
    kind = type(answer)
    if kind not in TASKS:
        known = ", ".join(sorted(known.__name__ for known in TASKS))
        raise RecipeError(f"an answer of kind {kind.__name__} has no post-processing; those that have: {known}.")
    allowed = TASKS[kind]
    if task is None:
        return _suggested(labels) if kind is MaskQueries else allowed[0]
    if task not in allowed:
        raise RecipeError(
            f"task={task!r}: this model's answer ({kind.__name__}) cannot be read so; {nearest(task, allowed)}"
        )
    return task


def _suggested(labels: Labels | None) -> str:
    if labels is None or labels.things is None:
        return "instance"
    if not labels.things:
        return "semantic"
    return "panoptic" if labels.stuff else "instance"
