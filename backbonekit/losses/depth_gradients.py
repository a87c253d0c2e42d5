"""Edges of depth where the truth has its edges: differences between neighbours, at several scales."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.losses.depth_truth import mean_where


def gradient_mismatch(
    residual: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"], scales: int
) -> Float[Tensor, " known"]:
    """Of each image, how much the error changes from place to place: 0 where answer and truth have the same edges.

    `residual`: answer minus truth, 0 where it is not valid. A difference counts where both its ends are valid; of each
    scale, which takes every second row and column of the one before, the sum is divided by the number of valid places.
    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020), equation 11.
    """
    total = residual.new_zeros(residual.shape[0])
    for scale in range(scales):
        step = 2**scale
        error, counts = residual[:, ::step, ::step], valid[:, ::step, ::step]
        places = counts.flatten(1).sum(dim=1).clamp(min=1)
        for dim in (1, 2):
            length = error.shape[dim] - 1
            change = (error.narrow(dim, 1, length) - error.narrow(dim, 0, length)).abs()
            both = counts.narrow(dim, 1, length) & counts.narrow(dim, 0, length)
            total = total + change.masked_fill(~both, 0).flatten(1).sum(dim=1) / places
    return total


def masked_median(
    values: Float[Tensor, "known places"], valid: Bool[Tensor, "known places"]
) -> Float[Tensor, "known 1"]:
    """The lower median of the valid values of each row; 0 where none is valid."""
    ordered = values.masked_fill(~valid, torch.inf).sort(dim=1).values
    count = valid.sum(dim=1, keepdim=True)
    median = ordered.gather(1, ((count - 1) // 2).clamp(min=0))
    return median.masked_fill(count == 0, 0)


def normalised(
    depth: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"]
) -> Float[Tensor, "known height width"]:
    """Shifted by the median, divided by the mean distance from it; 0 where it is not valid.

    Law: adding a number to an image's depth, or multiplying it by one above 0, changes nothing.
    Source: Ranftl et al. (2020), equation 6.
    """
    flat, kept = depth.flatten(1), valid.flatten(1)
    shifted = (flat - masked_median(flat, kept)).masked_fill(~kept, 0)
    spread = mean_where(shifted.abs(), kept)[:, None].clamp(min=1e-6)
    return (shifted / spread).unflatten(1, (depth.shape[-2], depth.shape[-1]))
