"""Feature maps of several levels flattened to one sequence, and reference points of its positions."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def flatten_levels(
    maps: Sequence[Float[Tensor, "batch channels _ _"]],
) -> tuple[Float[Tensor, "batch positions channels"], list[tuple[int, int]]]:
    """All positions by row, level after level, and the (height, width) of each level."""
    shapes = [(one.shape[-2], one.shape[-1]) for one in maps]
    return torch.cat([one.flatten(2).transpose(1, 2) for one in maps], dim=1), shapes


def split_levels(
    flat: Float[Tensor, "batch positions channels"], shapes: Sequence[tuple[int, int]]
) -> list[Float[Tensor, "batch channels _ _"]]:
    """The inverse of `flatten_levels`."""
    parts = flat.split([height * width for height, width in shapes], dim=1)
    return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def valid_ratios(masks: Sequence[Bool[Tensor, "batch _ _"]], dtype: torch.dtype) -> Float[Tensor, "batch levels 2"]:
    """The share of each level's width and height, in this order, that is not padding. `masks`: False on padding."""
    ratios = [torch.stack((mask[:, 0].to(dtype).mean(1), mask[:, :, 0].to(dtype).mean(1)), dim=-1) for mask in masks]
    return torch.stack(ratios, dim=1)


def reference_points(
    shapes: Sequence[tuple[int, int]],
    *,
    like: Tensor,
    ratios: Float[Tensor, "batch levels 2"] | None = None,
) -> Float[Tensor, "#batch positions levels 2"]:
    """The centre of every position as x and y on every level, in [0, 1] of the level with its padding.

    `ratios`: of `valid_ratios`; the points of a position are then the same point of the image on every level, although
    the padding of a level is rounded. Without it a batch of 1. `like`: the result has its type and device.

    Source: Zhu et al., "Deformable DETR" (2021), appendix A.2;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_transformer.py, get_reference_points.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)  # bfloat16 counts to 256, halves to 128
    centres = []
    for height, width in shapes:
        y = (torch.arange(height, dtype=dtype, device=like.device) + 0.5) / height
        x = (torch.arange(width, dtype=dtype, device=like.device) + 0.5) / width
        # [positions, 2]
        centres.append(torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1))
    if ratios is None:
        return torch.cat(centres).to(like.dtype)[None, :, None].expand(-1, -1, len(shapes), -1)
    # In the image without padding: [batch, positions, 2]; a level that is all padding keeps its own centres.
    own = ratios.where(ratios > 0, 1.0).to(dtype)
    real = torch.cat([centre / own[:, None, level] for level, centre in enumerate(centres)], dim=1)
    return (real[:, :, None] * own[:, None]).to(like.dtype)
