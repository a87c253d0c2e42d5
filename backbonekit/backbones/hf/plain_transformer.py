"""What families of plain vision transformers share: one stage a block, and position embeddings by a table.

Their positions are interpolated to the grid of an image, or checked against it.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.features import Level
from backbonekit.errors import ContractError


def block_levels(config: Any, stride: int, *, prefix_tokens: int = 0) -> tuple[Level, ...]:
    """Stem and blocks, each with the same channels and stride."""
    names = ("stem", *(f"stage{index + 1}" for index in range(config.num_hidden_layers)))
    return tuple(Level(name, config.hidden_size, stride, prefix_tokens=prefix_tokens) for name in names)


def width_faults(config: Any) -> list[str]:
    """A message where the attention heads do not divide the width."""
    if config.hidden_size % config.num_attention_heads == 0:
        return []
    return [
        f"{config.model_type} config: num_attention_heads={config.num_attention_heads} does not divide"
        f" hidden_size={config.hidden_size}."
    ]


def patch_tokens(body: Any, pixel_values: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Embedded patches [batch, height * width, channels], and their grid. Pixels after the last whole patch are
    dropped."""
    maps = body.patch_embed.proj(pixel_values)
    # [batch, channels, height, width] -> [batch, height * width, channels]
    return maps.flatten(2).transpose(1, 2), (maps.shape[-2], maps.shape[-1])


def block_units(body: Any) -> Sequence[Sequence[nn.Module]]:
    """The modules of each stage; a stage is one block."""
    return [[block] for block in body.blocks]


def block_attentions(body: Any) -> Sequence[nn.Module]:
    """The attention of each block."""
    return [block.attn for block in body.blocks]


def block_stage(name: str) -> int | None:
    """The stage of a weight, read from `body.blocks.N`; the final norm belongs to none."""
    if name.startswith("body.norm."):
        return None
    found = re.match(r"body\.blocks\.(\d+)\.", name)
    return int(found.group(1)) + 1 if found else 0


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
