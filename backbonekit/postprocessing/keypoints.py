"""Heatmaps to the keypoints of the one person that each image shows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backbonekit.contract.predictions import Heatmaps
from backbonekit.contract.processing import Geometry
from backbonekit.contract.results import KeypointResult
from backbonekit.ops.heatmaps import cells_to_canvas

# Of the smoothing before a peak is located: in cells, as ViTPose does it.
_SIGMA, _RADIUS = 0.8, 5
_LOWEST, _HIGHEST = 0.001, 50.0  # heights that a logarithm is taken of


def locate_keypoints(
    prediction: Heatmaps, geometries: Sequence[Geometry], *, threshold: float | None = None
) -> list[KeypointResult]:
    """The position of each heatmap's maximum, refined to a fraction of a cell; its score is the maximum's value.

    A keypoint whose score is not above `threshold` (0) is at NaN, NaN, and keeps its score. Padding is not searched.
    Source: Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation" (2020), section 3.1;
    ViTPose, mmpose/core/evaluation/top_down_eval.py: post_dark_udp.
    """
    results = []
    # In double precision and on the CPU: the maps are small, and differences of logarithms of neighbours are smaller.
    for heatmaps, geometry in zip(prediction.heatmaps.cpu().double(), geometries, strict=True):
        grid = (heatmaps.shape[-2], heatmaps.shape[-1])
        rows, columns = (_cells_shown(geometry, grid, axis) for axis in (0, 1))
        cells, scores = peaks(heatmaps[:, :rows, :columns])
        on_canvas = cells_to_canvas(cells, grid, geometry.canvas)
        points = _on_original(on_canvas, geometry)
        points[scores <= (0.0 if threshold is None else threshold)] = torch.nan
        results.append(KeypointResult(points.float(), scores.float()))
    return results


def peaks(heatmaps: Tensor, *, radius: int = _RADIUS) -> tuple[Tensor, Tensor]:
    """Maps [K, height, width] to x and y in cells [K, 2], the first cell's centre at 0, and heights [K].

    The peak's cell, and from there one step of Newton's method on the smoothed logarithm, where that is a maximum.
    `radius`: of the smoothing, in cells.
    """
    height, width = heatmaps.shape[1:]
    scores, flat = heatmaps.flatten(1).max(dim=1)
    column, row = flat % width, flat // width
    logarithms = _smoothed(heatmaps, radius).clamp(_LOWEST, _HIGHEST).log()

    def beside(across: int, down: int) -> Tensor:
        index = (row + down).clamp(0, height - 1) * width + (column + across).clamp(0, width - 1)
        return logarithms.flatten(1).gather(1, index[:, None])[:, 0]

    here, left, right, above, below = beside(0, 0), beside(-1, 0), beside(1, 0), beside(0, -1), beside(0, 1)
    slope_x, slope_y = (right - left) / 2, (below - above) / 2
    bend_x, bend_y = right - 2 * here + left, below - 2 * here + above
    twist = (beside(1, 1) + beside(-1, -1) - right - left - below - above + 2 * here) / 2
    # The inverse of the second derivatives, written out; a maximum bends down in every direction.
    determinant = bend_x * bend_y - twist**2
    is_maximum = (determinant > 0) & (bend_x < 0)
    divisor = determinant.where(is_maximum, torch.ones_like(determinant))
    step = torch.stack([twist * slope_y - bend_y * slope_x, twist * slope_x - bend_x * slope_y], dim=1)
    step = (step / divisor[:, None]).where(is_maximum[:, None], torch.zeros_like(step))
    return torch.stack([column, row], dim=1) + step, scores


def _smoothed(maps: Tensor, radius: int) -> Tensor:
    """By a Gaussian over `radius` cells to each side, with the maps mirrored at their edges."""
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype)
    kernel = (-(offsets**2) / (2 * _SIGMA**2)).exp()
    kernel = kernel / kernel.sum()
    for dim in (1, 2):
        length = maps.shape[dim]
        index = torch.arange(-radius, length + radius) % (2 * length)
        mirrored = maps.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
        maps = mirrored.unfold(dim, len(kernel), 1) @ kernel
    return maps


def _cells_shown(geometry: Geometry, grid: tuple[int, int], axis: int) -> int:
    """How many cells along height (0) or width (1) have their centres on real pixels; at least one."""
    steps = (grid[axis] - 1) / max(geometry.canvas[axis] - 1, 1)
    return min(grid[axis], int((geometry.shown[axis] - 1) * steps + 1e-6) + 1)


def _on_original(points: Tensor, geometry: Geometry) -> Tensor:
    """[K, 2] on the canvas -> in the original image's pixels."""

    def pair(size: tuple[int, int]) -> Tensor:  # (height, width) -> width, height
        return points.new_tensor([size[1], size[0]])

    return (points + pair(geometry.crop_offset)) * (pair(geometry.original) / pair(geometry.resized))
