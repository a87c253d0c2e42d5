"""Coordinates on a heatmap and on the canvas.

The centres of the outer cells are the centres of the outer pixels (unbiased data processing), so that coordinates do
not shift when the two grids differ in size. Canvas coordinates are continuous: the first pixel's centre is at 0.5.
Source: Huang et al., "The Devil is in the Details: Delving into Unbiased Data Processing for Human Pose Estimation"
(2020), section 3.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def cells_to_canvas(
    points: Float[Tensor, "*batch 2"], grid: tuple[int, int], canvas: tuple[int, int]
) -> Float[Tensor, "*batch 2"]:
    """x and y in cells, the first cell's centre at 0, to pixels of the canvas. Sizes are (height, width)."""
    return _scaled(points, _steps(canvas, grid)) + 0.5


def canvas_to_cells(
    points: Float[Tensor, "*batch 2"], grid: tuple[int, int], canvas: tuple[int, int]
) -> Float[Tensor, "*batch 2"]:
    """The inverse of `cells_to_canvas`."""
    return _scaled(points - 0.5, _steps(grid, canvas))


def _steps(of: tuple[int, int], over: tuple[int, int]) -> tuple[float, float]:
    """Steps of the first grid in one step of the second, by height and width; 0 where the first has a single cell."""
    return (of[0] - 1) / max(over[0] - 1, 1), (of[1] - 1) / max(over[1] - 1, 1)


def _scaled(points: Tensor, steps: tuple[float, float]) -> Tensor:
    return torch.stack([points[..., 0] * steps[1], points[..., 1] * steps[0]], dim=-1)
