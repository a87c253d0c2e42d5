"""Rotations of queries and keys by the place of a token on the grid, as DINOv3 makes them."""

import math

import torch
from torch import Tensor


def frequencies(head_channels: int, theta: float) -> Tensor:
    """[head_channels / 4]: how fast each pair of channels turns, from 1 down to about 1 / `theta`."""
    return 1 / theta ** torch.arange(0, 1, 4 / head_channels, dtype=torch.float32)


def centers(grid: tuple[int, int], device: torch.device) -> Tensor:
    """[height * width, 2]: row and column of every place, from -1 to 1 between the image's borders."""
    rows, columns = (torch.arange(0.5, length, dtype=torch.float32, device=device) / length for length in grid)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
    return 2.0 * places.flatten(0, 1) - 1.0


def disturbed(places: Tensor, *, shift: float | None, jitter: float | None, rescale: float | None) -> Tensor:
    """Places as training sees them: moved by up to `shift`, each axis stretched by up to `jitter` and both together by
    up to `rescale` or as much shrunken."""
    if shift is not None:
        places = places + places.new_empty((1, 2)).uniform_(-shift, shift)
    if jitter is not None:
        bound = math.log(jitter)
        places = places * places.new_empty((1, 2)).uniform_(-bound, bound).exp()
    if rescale is not None:
        bound = math.log(rescale)
        places = places * places.new_empty(1).uniform_(-bound, bound).exp()
    return places


def rotations(places: Tensor, turns: Tensor, dtype: torch.dtype) -> Tensor:
    """[height * width, 2 * head_channels]: sines, then cosines, each with both halves of the channels alike.

    `turns`: what `frequencies` gives.
    """
    # [places, 2, channels / 4] -> [places, channels / 2] -> [places, channels]
    angles = (2 * math.pi * places[:, :, None] * turns).flatten(1).tile(2)
    return torch.cat((angles.sin(), angles.cos()), dim=-1).to(dtype)
