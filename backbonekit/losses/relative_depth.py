"""Depth up to scale and shift: the loss that MiDaS, DPT and Depth Anything are trained with."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Probability, Range, Weight
from backbonekit.contract.predictions import DenseDepth
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.depth_targets import (
    depth_on_canvas,
    depths_by_image,
    gradient_matching,
    mean_of_images,
    mean_where,
    predicted_depth,
)
from backbonekit.losses.reduction import zero_loss


class RelativeDepth(nn.Module):
    """The scale- and shift-invariant loss: trimmed mean absolute error of prediction and target, both normalised by
    median and mean deviation, and multi-scale gradient matching; for each image, then the mean over images.

    `gradient_weight`: weight of gradient matching; a larger one makes edges sharper. `num_scales`: the number of scales
    of gradient matching. `trim`: share of each image's largest errors that is left out, as errors of the target.
    `inverse`: the target is a distance and the prediction its inverse, large where things are near; false where the
    prediction is `depth` of the targets itself.

    Reads `depth` of the targets; NaN, infinity, 0 and less are unknown there.

    Source: Ranftl et al., "Towards Robust Monocular Depth Estimation: Mixing Datasets for Zero-shot Cross-dataset
    Transfer" (2020), section 5 (equations 6, 7, 10 and 11).
    """

    reads: ClassVar[Reads] = (("depth",),)

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
        """Returns {`depth`, `depth_gradient`}: scalars, weighted; 0 where no pixel's depth is known."""
        depths = depths_by_image(targets)
        if not depths:
            return {"depth": zero_loss(prediction), "depth_gradient": zero_loss(prediction)}
        predicted = predicted_depth(prediction.depth, list(depths), canvas)
        target, valid = depth_on_canvas(depths, canvas, predicted)
        residual = normalised(predicted, valid) - normalised(1 / target if self.inverse else target, valid)
        edges = gradient_matching(residual, valid, self.num_scales)
        return {
            "depth": mean_of_images(trimmed_error(residual, valid, self.trim), valid),
            "depth_gradient": self.gradient_weight * mean_of_images(edges, valid),
        }


def trimmed_error(
    residual: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"], trim: float
) -> Float[Tensor, " known"]:
    """Half the mean over valid pixels of each image's absolute errors, of which the largest share `trim` count as 0."""
    kept = valid.flatten(1)
    errors = residual.abs().flatten(1).masked_fill(~kept, torch.inf).sort(dim=1).values
    count = kept.sum(dim=1, keepdim=True)
    rank = torch.arange(errors.shape[1], device=errors.device)
    smallest = rank < (count * (1 - trim)).floor()
    return errors.masked_fill(~smallest, 0).sum(dim=1) / (2 * count[:, 0]).clamp(min=1)


def masked_median(
    values: Float[Tensor, "known pixels"], valid: Bool[Tensor, "known pixels"]
) -> Float[Tensor, "known 1"]:
    """The lower median of the valid values of each row; 0 where none is valid."""
    ordered = values.masked_fill(~valid, torch.inf).sort(dim=1).values
    count = valid.sum(dim=1, keepdim=True)
    median = ordered.gather(1, ((count - 1) // 2).clamp(min=0))
    return median.masked_fill(count == 0, 0)


def normalised(
    depth: Float[Tensor, "known height width"], valid: Bool[Tensor, "known height width"]
) -> Float[Tensor, "known height width"]:
    """Depth minus its median, divided by the mean absolute deviation from it; 0 where it is not valid.

    Law: adding a number to an image's depth, or multiplying it by one above 0, changes nothing.
    Source: Ranftl et al. (2020), equation 6.
    """
    flat, kept = depth.flatten(1), valid.flatten(1)
    shifted = (flat - masked_median(flat, kept)).masked_fill(~kept, 0)
    spread = mean_where(shifted.abs(), kept)[:, None].clamp(min=1e-6)
    return (shifted / spread).unflatten(1, (depth.shape[-2], depth.shape[-1]))
