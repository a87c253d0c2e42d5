"""Feature maps pooled to one vector an image, padding left out."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.ops.numerics import upcast_to_float32

MapPool = Literal["mean", "max", "gem"]
GEM_POWER = 3.0  # as published; 1 is the mean, and a very large one the maximum
_GEM_LEAST = 1e-6


def pool_map(
    maps: Float[Tensor, "batch channels height width"], kind: MapPool, mask: Bool[Tensor, "batch height width"] | None
) -> Float[Tensor, "batch channels"]:
    """One vector an image, in at least float32: over all positions, or with a `mask` over those where it is True.

    `mean`; `max`; `gem`, the generalised mean: the third root of the mean of third powers, of values that are at least
    1e-6, between the mean and the maximum.
    Source: Radenović et al., "Fine-tuning CNN Image Retrieval with No Human Annotation" (2018), section 3.2.
    """
    # [batch, channels, positions]
    values = upcast_to_float32(maps).flatten(2)
    inside = None if mask is None else mask.flatten(1)[:, None]
    if kind == "max":
        return (values if inside is None else values.masked_fill(~inside, -torch.inf)).amax(dim=2)
    if kind == "gem":
        return _mean(values.clamp(min=_GEM_LEAST).pow(GEM_POWER), inside).pow(1 / GEM_POWER)
    return _mean(values, inside)


def _mean(values: Tensor, inside: Tensor | None) -> Tensor:
    if inside is None:
        return values.mean(dim=2)
    # Filled, not multiplied by 0: values in the padding may be infinite.
    return values.masked_fill(~inside, 0).sum(dim=2) / inside.sum(dim=2)
