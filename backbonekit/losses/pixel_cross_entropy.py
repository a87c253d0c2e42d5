"""The cross-entropy of every pixel: class weights, label smoothing, the focal factor, and hard pixels alone."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backbonekit.losses.hard_pixels import hard_pixels

SMALLEST = 1e-6  # of 1 - p in the focal factor, whose slope at p = 1 is infinite for an exponent below 1


def pixel_cross_entropy(
    logits: Float[Tensor, "batch classes height width"],
    labels: Int[Tensor, "batch height width"],
    *,
    ignore_label: int,
    label_smoothing: float = 0.0,
    class_weights: Float[Tensor, "classes"] | None = None,
    focal_gamma: float = 0.0,
    hard_threshold: float = 1.0,
    num_hard_pixels: int = 0,
) -> Float[Tensor, ""]:
    """The mean over the pixels that count, weighted by the weight of each pixel's class; 0 where no pixel counts.

    `focal_gamma`: each pixel's loss is multiplied by (1 - p) ** gamma, p the probability of its class.
    `hard_threshold`, `num_hard_pixels`: see `hard_pixels`; a threshold of 1 keeps every pixel.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 4, with a softmax.
    """
    # The divisor is never 0 (see `_divided`): the loss of a batch without a pixel that counts is 0, not NaN.
    counts = labels != ignore_label
    weights = None if class_weights is None else _weights_of(labels, counts, class_weights)
    if focal_gamma == 0 and hard_threshold == 1:
        total = functional.cross_entropy(
            logits,
            labels,
            weight=class_weights,
            ignore_index=ignore_label,
            label_smoothing=label_smoothing,
            reduction="sum",
        )
        return _divided(total, counts, weights)
    losses = functional.cross_entropy(
        logits,
        labels,
        weight=class_weights,
        ignore_index=ignore_label,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    log_right = -functional.cross_entropy(logits, labels, ignore_index=ignore_label, reduction="none")
    if focal_gamma:
        losses = losses * (-torch.expm1(log_right)).clamp(min=SMALLEST) ** focal_gamma
    if hard_threshold < 1:
        counts = hard_pixels(log_right.detach().exp(), counts, threshold=hard_threshold, least=num_hard_pixels)
        weights = None if weights is None else weights * counts
    return _divided((losses * counts).sum(), counts, weights)


def _weights_of(labels: Tensor, counts: Bool[Tensor, "..."], class_weights: Tensor) -> Tensor:
    """The weight of each pixel's class, 0 where no pixel counts."""
    return class_weights[labels.masked_fill(~counts, 0)] * counts


def _divided(total: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return total / counts.sum().clamp(min=1)
    return total / weights.sum().clamp(min=torch.finfo(total.dtype).tiny)
