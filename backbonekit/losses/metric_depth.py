"""Metric depth: the scale-invariant error of logarithms."""

from typing import Annotated, ClassVar

from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Probability, Range, Weight
from backbonekit.contract.predictions import DenseDepth, Scoring
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


class MetricDepth(nn.Module):
    """The scale-invariant error, i.e. the mean squared difference of logarithms minus a share of the squared mean
    difference, and multi-scale gradient matching; for each image, then the mean over images.

    `scale_invariance`: that share. At 0 every pixel's error counts in full; at 1 a factor common to the whole image
    costs nothing. `gradient_weight`: weight of gradient matching of the logarithms; a larger one makes edges sharper.
    `num_scales`: the number of scales of gradient matching. `min_depth`: predictions are at least this, in the target's
    unit, because 0 has no logarithm.

    Reads `depth` of the targets; NaN, infinity, 0 and less are unknown there.

    Source: Eigen et al., "Depth Map Prediction from a Single Image using a Multi-Scale Deep Network" (2014), equations
    1 and 4; gradient matching as in Ranftl et al., "Towards Robust Monocular Depth Estimation" (2020), equation 11.
    """

    scoring: ClassVar[Scoring] = "distance"
    reads: ClassVar[Reads] = (("depth",),)

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
        """Returns {`depth`, `depth_gradient`}: scalars, weighted; 0 where no pixel's depth is known."""
        depths = depths_by_image(targets)
        if not depths:
            return {"depth": zero_loss(prediction), "depth_gradient": zero_loss(prediction)}
        predicted = predicted_depth(prediction.depth, list(depths), canvas).clamp(min=self.min_depth)
        target, valid = depth_on_canvas(depths, canvas, predicted)
        residual = (predicted.log() - target.log()).masked_fill(~valid, 0)
        common = mean_where(residual, valid)
        error = mean_where(residual.square(), valid) - self.scale_invariance * common.square()
        edges = gradient_matching(residual, valid, self.num_scales)
        return {
            "depth": mean_of_images(error, valid),
            "depth_gradient": self.gradient_weight * mean_of_images(edges, valid),
        }
