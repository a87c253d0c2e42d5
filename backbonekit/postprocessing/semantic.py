"""Dense logits, or masks with classes, to the class of every pixel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backbonekit.contract.predictions import DenseLogits, MaskQueries, Scoring, scoring_of
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import SemanticResult
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.classes import class_probabilities
from backbonekit.postprocessing.window import on_image, resample, strips, window_of


def segment_dense(
    prediction: DenseLogits,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring,
    threshold: float | None = None,
    ignore_label: int = IGNORE_LABEL,
) -> list[SemanticResult]:
    """The class with the highest logit, resampled to the image before the comparison.

    Scored by sigmoid, a pixel may have no class: where the best one does not reach `threshold` (0.5), it has
    `ignore_label`, and so has what a centre crop hid. A model of one class is always scored so; its pixels are 1 where
    the class is and 0 elsewhere.
    """
    read = dense_reading(prediction.logits.shape[1], scoring=scoring, threshold=threshold, ignore_label=ignore_label)
    logits = upcast_to_float32(prediction.logits)
    return [best_class(maps, geometry, read) for maps, geometry in zip(logits, geometries, strict=True)]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the values of the classes at a pixel become its label. `lowest`: what the best one has to reach, or None.
    `is_binary`: one class, and labels 0 and 1."""

    lowest: float | None
    ignore_label: int
    is_binary: bool


def dense_reading(num_classes: int, *, scoring: Scoring, threshold: float | None, ignore_label: int) -> Reading:
    """Of logits, see `segment_dense`."""
    lowest = None
    if scoring_of(scoring, num_classes) == "sigmoid":
        lowest = torch.logit(torch.tensor(0.5 if threshold is None else threshold, dtype=torch.float64)).item()
    return Reading(lowest, ignore_label, num_classes == 1)


def mask_reading(num_classes: int, *, threshold: float | None, ignore_label: int) -> Reading:
    """Of `class_scores`, see `segment_masks`."""
    is_binary = num_classes == 1
    return Reading((0.5 if threshold is None else threshold) if is_binary else None, ignore_label, is_binary)


def segment_masks(
    prediction: MaskQueries,
    geometries: Sequence[Geometry],
    *,
    scoring: Scoring = "softmax_with_null",
    threshold: float | None = None,
    ignore_label: int = IGNORE_LABEL,
) -> list[SemanticResult]:
    """Each pixel's class by the sum over queries of class probability times mask probability; `ignore_label` outside a
    crop. With one class a pixel is 1 where that sum reaches `threshold` (0.5), and 0 elsewhere.

    Source: MaskFormer (Cheng et al., 2021), section 3.4; github.com/facebookresearch/MaskFormer
    `mask_former_model.py: semantic_inference`.
    """
    results = []
    for scores, geometry in zip(class_scores(prediction, scoring), geometries, strict=True):
        read = mask_reading(len(scores), threshold=threshold, ignore_label=ignore_label)
        results.append(best_class(scores, geometry, read))  # sums commute with the resampling
    return results


def class_scores(
    prediction: MaskQueries, scoring: Scoring = "softmax_with_null"
) -> Iterator[Float[Tensor, "classes height width"]]:
    """For each image the sum over queries of class probability times mask probability, on the prediction's grid."""
    classes = class_probabilities(upcast_to_float32(prediction.class_logits), scoring)
    for probabilities, mask_logits in zip(classes, prediction.mask_logits, strict=True):
        masks = upcast_to_float32(mask_logits).sigmoid()
        yield torch.einsum("qc,qhw->chw", probabilities.to(masks.dtype), masks)


def best_class(maps: Tensor, geometry: Geometry, read: Reading) -> SemanticResult:
    """The label of each pixel, from maps [classes, height, width] on the prediction's grid."""
    lowest, ignore_label, is_binary = read.lowest, read.ignore_label, read.is_binary
    window = window_of(geometry, (maps.shape[-2], maps.shape[-1]))
    parts = []
    for rows in strips(window, maps.shape[0]):
        best, labels = resample(maps, window, rows=rows).max(dim=0)
        if lowest is not None:
            labels = (best >= lowest).long() if is_binary else labels.where(best >= lowest, ignore_label)
        parts.append(labels.cpu())
    return SemanticResult(on_image(torch.cat(parts), window, ignore_label), ignore_label, is_binary)
