"""Sine-cosine position embedding of a map's rows and columns, not scaled to the image.

Unlike `layers.sine_positions`, rows and columns are counted from the map's corner, and sines and cosines are in
separate blocks of channels.

Source: Dosovitskiy et al., ViT (2021), in two dimensions as in its plain baseline (Beyer et al., "Better plain ViT
baselines for ImageNet-1k", 2022); in RT-DETR: github.com/lyuwenyu/RT-DETR,
rtdetr_pytorch/src/zoo/rtdetr/hybrid_encoder.py, build_2d_sincos_position_embedding.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def unscaled_sine_positions(
    maps: Float[Tensor, "batch channels height width"], *, temperature: float = 10_000.0
) -> Float[Tensor, "1 positions channels"]:
    """Sines, then cosines of the row, then of the column, a quarter of the channels each; positions by row.

    `maps`: decide the shape, type and device; the number of channels must be divisible by four. `temperature`: a larger
    one makes the slowest waves slower.
    """
    _, channels, height, width = maps.shape
    # Low-precision types cannot count to the width of a map.
    dtype = torch.promote_types(maps.dtype, torch.float32)
    count = channels // 4
    speeds = temperature ** -(torch.arange(count, dtype=dtype, device=maps.device) / count)
    # rows: [height, count]; columns: [width, count]
    rows = torch.arange(height, dtype=dtype, device=maps.device)[:, None] * speeds
    columns = torch.arange(width, dtype=dtype, device=maps.device)[:, None] * speeds
    by_row = torch.cat((rows.sin(), rows.cos()), dim=-1)[:, None].expand(-1, width, -1)
    by_column = torch.cat((columns.sin(), columns.cos()), dim=-1)[None].expand(height, -1, -1)
    return torch.cat((by_row, by_column), dim=-1).flatten(0, 1)[None].to(maps.dtype)
