"""Depth in metres: the scale-invariant error of logarithms."""

from typing import Annotated, ClassVar

from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Probability, Range, Weight
from backbonekit.contract.predictions import DenseDepth, Scoring
from backbonekit.contract.targets import Targets
from backbonekit.losses.depth_gradients import gradient_mismatch
from backbonekit.losses.depth_truth import (
    answered_depth,
    known_depths,
    mean_of_images,
    mean_where,
    true_depth,
)
from backbonekit.losses.zero import zero_of


class MetricDepth(nn.Module):
    """Mean squared difference of logarithms, less a share of the squared mean difference, and the mismatch of edges;
    each image by itself, then the mean over images.

    `scale_invariance`: that share. 0 judges every pixel alone; 1 forgives a factor common to the whole image.
    `gradient_weight`: of the edges of the logarithms; larger gives sharper ones. `num_scales`: at how many sizes edges
    are compared.
    `min_depth`: answers below it, in the truth's unit, are taken for it, because 0 has no logarithm.

    Reads `depth` of the targets; NaN, infinity, 0 and less are unknown there.

    Source: Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network" (2014), equations
    1 and 4; the edges as in Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020), equation 11.
    """

    scoring: ClassVar[Scoring] = "distance"

    def __init__(
        self,
        *,
        scale_invariance: Probability = 0.5,
        gradient_weight: Weight = 0.5,
        num_scales: Annotated[int, Range(1, 8)] = 4,
        min_depth: Annotated[float, Range(1e-6, 1e3)] = 1e-3,
    ) -> None:
        super().__init__()
        self.scale_invariance = scale_invariance
        self.gradient_weight = gradient_weight
        self.num_scales = num_scales
        self.min_depth = min_depth

    def forward(self, prediction: DenseDepth, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """{`depth`, `depth_gradient`}: scalars, weighted; 0 where no pixel's depth is known."""
        depths = known_depths(targets)
        if not depths:
            return {"depth": zero_of(prediction), "depth_gradient": zero_of(prediction)}
        answered = answered_depth(prediction.depth, list(depths), canvas).clamp(min=self.min_depth)
        truth, valid = true_depth(depths, canvas, answered)
        residual = (answered.log() - truth.log()).masked_fill(~valid, 0)
        common = mean_where(residual, valid)
        error = mean_where(residual.square(), valid) - self.scale_invariance * common.square()
        edges = gradient_mismatch(residual, valid, self.num_scales)
        return {
            "depth": mean_of_images(error, valid),
            "depth_gradient": self.gradient_weight * mean_of_images(edges, valid),
        }
