"""Number types and inverses that keep sums, comparisons and logarithms accurate."""

import torch
from jaxtyping import Float
from torch import Tensor


def upcast_to_float32(values: Tensor) -> Tensor:
    """The same values in float32; float64 stays as it is. In 16 bits sums over many pixels are too coarse, and logits
    have ties."""
    return values if values.dtype == torch.float64 else values.float()


def inverse_sigmoid(shares: Float[Tensor, "*any"], *, margin: float = 1e-5) -> Float[Tensor, "*any"]:
    """The logits whose sigmoid is `shares`, in [0, 1]; shares nearer to 0 or 1 than `margin` are moved to it."""
    exact = upcast_to_float32(shares).clamp(0, 1)  # float16 ends before 1 / margin
    return (exact.clamp(min=margin) / (1 - exact).clamp(min=margin)).log().to(shares.dtype)
