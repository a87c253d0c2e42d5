"""Position embeddings: interpolated to the grid of an image, or checked against it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.errors import ContractError


def check_grid(given: Sequence[int], expected: Sequence[int], model_type: str) -> None:
    """Raises ContractError where a grid (height, width) is not the one that the position table is made for."""
    if tuple(given) != tuple(expected):
        raise ContractError(
            f"{model_type} takes images of its configuration's image_size alone: its positions are a grid of"
            f" {expected[0]} x {expected[1]}, and this image has {given[0]} x {given[1]}. Resize the image."
        )


def interpolated_positions(
    table: Tensor, grid: tuple[int, int], *, prefix: int, antialias: bool = False, in_float32: bool = True
) -> Tensor:
    """A position table [1, prefix + side * side, channels] interpolated to another grid (height, width).

    Bicubic to a size, as in transformers and unlike in timm. The prefix is kept. `antialias`: smooth before
    downsampling, which older models do not. `in_float32`: interpolate in float32 whatever the table's type, which some
    models do not.
    Source: DINOv2, https://github.com/facebookresearch/dinov2, dinov2/models/vision_transformer.py,
    interpolate_pos_encoding.
    """
    tokens, positions = table[:, :prefix], table[:, prefix:]
    side = round(positions.shape[1] ** 0.5)
    # [1, side * side, channels] -> [1, channels, side, side]
    square = positions.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    square = square.float() if in_float32 else square
    resized = functional.interpolate(square, size=grid, mode="bicubic", align_corners=False, antialias=antialias)
    resized = resized.to(table.dtype)
    # [1, channels, height, width] -> [1, height * width, channels]
    return torch.cat((tokens, resized.flatten(2).transpose(1, 2)), dim=1)
