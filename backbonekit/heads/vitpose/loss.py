"""ViTPose's loss: mean squared error between heatmaps and Gaussians around the keypoints of one person."""

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Range, Weight
from backbonekit.contract.predictions import Heatmaps
from backbonekit.contract.target_values import check_keypoints
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.heatmaps import canvas_to_cells
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import images_at

_REACH = 3  # standard deviations, beyond which a Gaussian counts as 0


class HeatmapError(nn.Module):
    """Mean squared error between heatmaps and Gaussians around the ground-truth keypoints.

    `sigma`: standard deviation of the Gaussians in cells of the heatmap; a larger one is easier to learn and
    less exact. `weight`: weight of the loss.

    Reads `keypoints` [N, K, 3] of the targets: x and y in pixels of the input, visibility (0: not annotated). An image
    shows one person, so N is 1, or 0 without annotation. Keypoints that are not visible, or farther outside the heatmap
    than a Gaussian reaches, and cells of padding have an error of 0. The mean is over the cells of all keypoints of the
    images that have the key.

    Source: Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking" (2018), section 3; ViTPose
    (Xu et al., 2022), mmpose/models/losses/mse_loss.py: JointsMSELoss.
    """

    reads: ClassVar[Reads] = (("keypoints",),)

    def __init__(
        self, *, num_classes: Classes, sigma: Annotated[float, Range(0.01, 100)] = 2.0, weight: Weight = 1.0
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.sigma = sigma
        self.weight = weight

    def forward(self, prediction: Heatmaps, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns {`heatmap`}: a scalar, weighted; 0 where no keypoint is known."""
        given = {index: target["keypoints"] for index, target in enumerate(targets) if "keypoints" in target}
        if not given:
            return {"heatmap": zero_loss(prediction)}
        known = list(given)
        heatmaps = upcast_to_float32(images_at(prediction.heatmaps, known))
        grid = (heatmaps.shape[-2], heatmaps.shape[-1])
        keypoints = torch.stack([self._person(index, persons, heatmaps, canvas) for index, persons in given.items()])
        centres = canvas_to_cells(keypoints[..., :2], grid, canvas.size)
        counts = (keypoints[..., 2] > 0) & _in_reach(centres, grid, _REACH * self.sigma)
        # Keypoints without annotation may be NaN.
        centres = centres.masked_fill(~counts[..., None], 0)
        error = (heatmaps - gaussians(centres, grid, self.sigma)).square()
        error = error.masked_fill(~counts[..., None, None], 0)
        mask = canvas.mask_at(*grid)
        if mask is None:
            return {"heatmap": self.weight * error.mean()}
        cells = images_at(mask, known)[:, None]
        total = error.masked_fill(~cells, 0).sum()
        return {"heatmap": self.weight * total / (cells.sum() * error.shape[1]).clamp(min=1)}

    def _person(self, index: int, given: Tensor, like: Tensor, canvas: Canvas) -> Float[Tensor, "keypoints 3"]:
        if given.ndim != 3 or tuple(given.shape[1:]) != (self.num_classes, 3):
            raise ContractError(
                f"targets[{index}]: keypoints must be [N, {self.num_classes}, 3] (x, y, visibility; the head has "
                f"num_classes={self.num_classes}), got {list(given.shape)}."
            )
        if len(given) > 1:
            raise ContractError(
                f"targets[{index}]: keypoints of {len(given)} persons; a heatmap is of one person. "
                f"The fix: one image for each person, cut out around them."
            )
        if not len(given):
            return like.new_zeros(self.num_classes, 3)
        check_keypoints(given, canvas.size, image=index)
        return given[0].to(like.device, like.dtype)


def gaussians(
    centres: Float[Tensor, "*batch 2"], grid: tuple[int, int], sigma: float
) -> Float[Tensor, "*batch height width"]:
    """Unnormalised Gaussians: 1 at a centre, which is x and y in cells, not rounded."""
    rows, columns = (torch.arange(side, device=centres.device, dtype=centres.dtype) for side in grid)
    vertical = (-((rows - centres[..., 1:]) ** 2) / (2 * sigma**2)).exp()
    horizontal = (-((columns - centres[..., :1]) ** 2) / (2 * sigma**2)).exp()
    return vertical[..., :, None] * horizontal[..., None, :]


def _in_reach(centres: Tensor, grid: tuple[int, int], reach: float) -> Tensor:
    """bool [*batch]: whether a Gaussian reaches into the heatmap."""
    across, down = centres[..., 0], centres[..., 1]
    inside = (across > -reach) & (across < grid[1] - 1 + reach)
    return inside & (down > -reach) & (down < grid[0] - 1 + reach)
