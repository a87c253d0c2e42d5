"""Depth up to scale and shift: the loss that MiDaS, DPT and Depth Anything are trained with."""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Probability, Range, Weight
from backbonekit.contract.predictions import DenseDepth
from backbonekit.contract.targets import Targets
from backbonekit.losses.depth_gradients import gradient_mismatch, normalised
from backbonekit.losses.depth_truth import answered_depth, known_depths, mean_of_images, true_depth
from backbonekit.losses.zero import zero_of


class RelativeDepth(nn.Module):
    """Trimmed mean absolute error after both answer and truth have been normalised by median and spread, and the
    mismatch of their edges; each image by itself, then the mean over images.

    `gradient_weight`: of the edges; larger gives sharper ones. `num_scales`: at how many sizes edges are compared.
    `trim`: share of each image's largest errors that are taken for mistakes of the truth and left out.
    `inverse`: the truth is a distance and the prediction its inverse, large where things are near; false where
    `depth` of the targets already is what the prediction should be.

    Reads `depth` of the targets; NaN, infinity, 0 and less are unknown there.

    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation: Mixing Datasets for Zero-shot Cross-dataset
    Transfer" (2020), section 5 (equations 6, 7, 10 and 11).
    """

    def __init__(
        self,
        *,
        gradient_weight: Weight = 0.5,
        num_scales: Annotated[int, Range(1, 8)] = 4,
        trim: Probability = 0.2,
        inverse: bool = True,
    ) -> None:
        super().__init__()
        self.gradient_weight = gradient_weight
        self.num_scales = num_scales
        self.trim = trim
        self.inverse = inverse

    def forward(self, prediction: DenseDepth, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """{`depth`, `depth_gradient`}: scalars, weighted; 0 where no pixel's depth is known."""
        depths = known_depths(targets)
        if not depths:
            return {"depth": zero_of(prediction), "depth_gradient": zero_of(prediction)}
        answered = answered_depth(prediction.depth, list(depths), canvas)
        truth, valid = true_depth(depths, canvas, answered)
        residual = normalised(answered, valid) - normalised(1 / truth if self.inverse else truth, valid)
        edges = gradient_mismatch(residual, valid, self.num_scales)
        return {
            "depth": mean_of_images(trimmed_error(residual, valid, self.trim), valid),
            "depth_gradient": self.gradient_weight * mean_of_images(edges, valid),
        }


def trimmed_error(
    residual: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"], trim: float
) -> Float[Tensor, " known"]:
    """Half the sum of the smallest absolute errors of each image, all but the share `trim`, over all that count."""
    kept = valid.flatten(1)
    errors = residual.abs().flatten(1).masked_fill(~kept, torch.inf).sort(dim=1).values
    count = kept.sum(dim=1, keepdim=True)
    rank = torch.arange(errors.shape[1], device=errors.device)
    smallest = rank < (count * (1 - trim)).floor()
    return errors.masked_fill(~smallest, 0).sum(dim=1) / (2 * count[:, 0]).clamp(min=1)
