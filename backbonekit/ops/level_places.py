"""Several maps as one sequence of places, and where each place lies on every map."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def join_places(
    maps: Sequence[Float[Tensor, "batch channels _ _"]],
) -> tuple[Float[Tensor, "batch places channels"], list[tuple[int, int]]]:
    """All places by row, map after map, and the (height, width) of each map."""
    shapes = [(one.shape[-2], one.shape[-1]) for one in maps]
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], dim=1), shapes


def split_places(
    places: Float[Tensor, "batch places channels"], shapes: Sequence[tuple[int, int]]
) -> list[Float[Tensor, "batch channels _ _"]]:
    """The inverse of `join_places`."""
    parts = places.split([height * width for height, width in shapes], dim=1)
    return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def real_shares(masks: Sequence[Bool[Tensor, "batch _ _"]], dtype: torch.dtype) -> Float[Tensor, "batch levels 2"]:
    """The share of each map's width and height, in this order, that is no padding. `masks`: True on real places."""
    shares = [torch.stack((mask[:, 0].to(dtype).mean(1), mask[:, :, 0].to(dtype).mean(1)), dim=-1) for mask in masks]
    return torch.stack(shares, dim=1)


def place_references(
    shapes: Sequence[tuple[int, int]],
    *,
    like: Tensor,
    shares: Float[Tensor, "batch levels 2"] | None = None,
) -> Float[Tensor, "#batch places levels 2"]:
    """The centre of every place as x and y on every map, in [0, 1] of the map with its padding.

    `shares`: of `real_shares`; a place then looks at the same point of the image on each map, although a map's
    padding is rounded. Without it a batch of 1. `like`: a tensor of the wanted type on the wanted device.

    Source: Zhu et al., "Deformable DETR" (2021), appendix A.2;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py, get_reference_points.
    """
    centres = []
    for height, width in shapes:
        y = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
        x = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
        # [places, 2]
        centres.append(torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1))
    if shares is None:
        return torch.cat(centres)[None, :, None].expand(-1, -1, len(shapes), -1)
    # Of the image without padding: [batch, places, 2]; a map without a real place keeps its own centres.
    own = shares.where(shares > 0, 1.0)
    real = torch.cat([centre / own[:, None, level] for level, centre in enumerate(centres)], dim=1)
    return real[:, :, None] * own[:, None]
