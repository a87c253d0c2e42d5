"""The type to add and compare in: sums of many pixels are too coarse in 16 bits, and 16-bit logits have ties."""

import torch
from torch import Tensor


def at_least_single(values: Tensor) -> Tensor:
    """The same values in float32, or in float64 where they are that already."""
    return values if values.dtype == torch.float64 else values.float()
