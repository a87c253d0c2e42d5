"""Half-precision answers are post-processed in single precision: a grid of 16-bit logits has ties."""

import torch
from torch import Tensor


def at_least_single(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
