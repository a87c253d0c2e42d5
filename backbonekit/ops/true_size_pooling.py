"""Adaptive average pooling over the unpadded part of each map of a batch, and bilinear resizing back."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.ops.resize import resize_bilinear


def pool_to_grid(
    maps: Float[Tensor, "batch channels height width"], side: int, mask: Bool[Tensor, "batch height width"] | None
) -> Float[Tensor, "batch channels side side"]:
    """The mean of each of `side` x `side` cells; neighbouring cells share a row where they do not divide the map.

    With a `mask`, True on each image's own rectangle from the top left, the cells divide that rectangle, so that the
    result is that of the image without its padding.
    """
    if mask is None and side > 1 and any(isinstance(length, torch.SymInt) for length in maps.shape[-2:]):
        # An export for free sizes: of torch's own operation the file would hold the borders of the traced size.
        mask = maps.new_ones(maps[:, 0].shape, dtype=torch.bool)
    if mask is None:
        return functional.adaptive_avg_pool2d(maps, side)
    # Filled, not multiplied by 0: values in the padding may be infinite.
    inside = maps.masked_fill(~mask[:, None], 0)
    rows, columns = (_means(lengths, side, size, maps.dtype) for lengths, size in _lengths(mask))
    return rows[:, None] @ inside @ columns[:, None].transpose(-1, -2)


def spread_from_grid(
    grid: Float[Tensor, "batch channels side side"],
    size: tuple[int, int],
    mask: Bool[Tensor, "batch height width"] | None,
) -> Float[Tensor, "batch channels height width"]:
    """A grid resized to a map, bilinear; with a `mask` to each image's own part, outside which the edge is repeated."""
    if mask is None:
        return resize_bilinear(grid, size)
    rows, columns = (_weights(lengths, grid.shape[-1], extent, grid.dtype) for lengths, extent in _lengths(mask))
    return rows[:, None] @ grid @ columns[:, None].transpose(-1, -2)


def _lengths(mask: Tensor) -> tuple[tuple[Tensor, int], tuple[Tensor, int]]:
    """The numbers of rows and columns of each image without its padding, int64 [batch], at least 1; and of the map."""
    heights, widths = mask.any(dim=2).sum(dim=1), mask.any(dim=1).sum(dim=1)
    return (heights.clamp(min=1), mask.shape[1]), (widths.clamp(min=1), mask.shape[2])


def _means(lengths: Tensor, cells: int, size: int, dtype: torch.dtype) -> Tensor:
    """[batch, cells, size]: rows that average the positions of a cell, with the borders of torch's adaptive
    pooling."""
    cell = torch.arange(cells, device=lengths.device)
    first = lengths[:, None] * cell // cells
    # end: rounded up
    end = (lengths[:, None] * (cell + 1) + cells - 1) // cells
    position = torch.arange(size, device=lengths.device)
    belongs = (position >= first[..., None]) & (position < end[..., None])
    return belongs.to(dtype) / (end - first)[..., None].to(dtype)


def _weights(lengths: Tensor, cells: int, size: int, dtype: torch.dtype) -> Tensor:
    """[batch, size, cells]: rows of bilinear weights of the two cells around a position (`align_corners=False`)."""
    # At least float32: positions between cells are finer than 16 bits.
    position = torch.arange(size, device=lengths.device, dtype=torch.promote_types(dtype, torch.float32))
    located = ((position + 0.5) * cells / lengths[:, None] - 0.5).clamp(0, cells - 1)
    cell = torch.arange(cells, device=lengths.device)
    return (1 - (located[..., None] - cell).abs()).clamp(min=0).to(dtype)
