"""The layouts that transformer and convolutional stages work in, and normalisation of a map in each."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.backbones.hf.family import Layout


def normalised(x: Tensor, layout: Layout, norm: nn.Module) -> Tensor:
    """A LayerNorm over the channels, wherever the layout has them."""
    if layout == "NCHW":
        return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return norm(x)


def to_map(x: Tensor, layout: Layout, grid: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """A stage's output as [batch, channels, height, width], and its prefix tokens [batch, tokens, channels] if any.

    A view, in memory as the stage left it. `grid`: (height, width) of the token layout, whose tokens end with one for
    each place of the grid.
    """
    if layout == "NCHW":
        return x, None
    if layout == "NHWC":
        return x.permute(0, 3, 1, 2), None
    places = grid[0] * grid[1]
    prefix = x.shape[1] - places
    # [batch, tokens, channels] -> [batch, height, width, channels]
    spatial = x[:, prefix:].unflatten(1, grid)
    return spatial.permute(0, 3, 1, 2), x[:, :prefix] if prefix else None


def interpolated_positions(
    table: Tensor, grid: tuple[int, int], *, prefix: int, antialias: bool = False, in_float32: bool = True
) -> Tensor:
    """A position table [1, prefix + side * side, channels] for another grid (height, width).

    Bicubic to a size, as transformers does and timm does not. The prefix stays. `antialias`: smooth before making it
    smaller, which the older models do not. `in_float32`: whatever the table's type, which some models do not.
    Source: DINOv2, https://github.com/facebookresearch/dinov2, dinov2/models/vision_transformer.py,
    interpolate_pos_encoding.
    """
    tokens, places = table[:, :prefix], table[:, prefix:]
    side = round(places.shape[1] ** 0.5)
    # [1, side * side, channels] -> [1, channels, side, side]
    square = places.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    square = square.float() if in_float32 else square
    resized = functional.interpolate(square, size=grid, mode="bicubic", align_corners=False, antialias=antialias)
    resized = resized.to(table.dtype)
    # [1, channels, height, width] -> [1, height * width, channels]
    return torch.cat((tokens, resized.flatten(2).transpose(1, 2)), dim=1)
