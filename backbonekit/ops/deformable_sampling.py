"""Multi-scale deformable sampling, the core of deformable attention, in plain torch.

Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), equation 3;
github.com/fundamentalvision/Deformable-DETR, models/ops/functions/ms_deform_attn_func.py.
"""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

Sampling = Literal["bilinear", "nearest"]


def deformable_sampling(
    values: Float[Tensor, "batch heads width positions"],
    shapes: Sequence[tuple[int, int]],
    locations: Float[Tensor, "batch queries heads points 2"],
    weights: Float[Tensor, "batch queries heads points"],
    *,
    points: Sequence[int],
    sampling: Sampling = "bilinear",
) -> Float[Tensor, "batch queries channels"]:
    """The weighted sum of values at `locations` for each head; the heads are concatenated in the result.

    `values`: positions by row, level after level. `shapes`: (height, width) of each level. `points`: the number of
    points on each level, which sum to the size of that axis. `locations`: x and y, 0 and 1 at a level's outer edges.
    `sampling`: `bilinear`, zero beyond the edge; or `nearest`, the edge's own value beyond it (the discrete sampling
    of RT-DETR v2, which has no gradient for locations).
    """
    batch, heads, width, _ = values.shape
    queries = locations.shape[1]
    # Queries come last, so that the sum over points runs along memory.
    # values: [batch x heads, width, positions]; locations: [batch x heads, points, queries, 2]
    values = values.flatten(0, 1)
    locations = locations.permute(0, 2, 3, 1, 4).flatten(0, 1)
    levels = values.split([height * columns for height, columns in shapes], dim=-1)
    sample = _bilinear if sampling == "bilinear" else _nearest
    # weights: [batch x heads, 1, points, queries]; level by level: to concatenate all samples would be a large copy
    weights = weights.permute(0, 2, 3, 1).flatten(0, 1)[:, None]
    weighted = [
        (sample(level.unflatten(-1, shape), points_of_level) * weight).sum(2)
        for level, shape, points_of_level, weight in zip(
            levels,
            shapes,
            locations.split(list(points), dim=1),
            weights.split(list(points), dim=2),
            strict=True,
        )
    ]
    # weighted: [batch x heads, width, queries] of each level
    total = sum(weighted[1:], weighted[0])
    return total.view(batch, heads * width, queries).transpose(1, 2)


def _bilinear(level: Tensor, locations: Tensor) -> Tensor:
    return functional.grid_sample(level, 2 * locations - 1, align_corners=False)


def _nearest(level: Tensor, locations: Tensor) -> Tensor:
    """[rows, width, height, columns] at [rows, points, queries, 2] -> [rows, width, points, queries]."""
    height, columns = level.shape[-2:]
    # As the reference: half a position is added before rounding down.
    x = (locations[..., 0] * columns + 0.5).long().clamp(0, columns - 1)
    y = (locations[..., 1] * height + 0.5).long().clamp(0, height - 1)
    index = (y * columns + x).flatten(1)[:, None].expand(-1, level.shape[1], -1)
    return level.flatten(2).gather(2, index).unflatten(-1, locations.shape[1:3])
