"""Field values that several families share: image sizes, activations, rates of stochastic depth."""

from collections.abc import Sequence
from typing import Annotated

from torch import nn

from backbonekit.contract.options import Range

Side = Annotated[int, Range(1, 16_384)]
Square = Side | tuple[Side, Side]


def sides(value: int | tuple[int, int]) -> tuple[int, int]:
    """A field's one or two values as (height, width)."""
    return (value, value) if isinstance(value, int) else value


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
}


def rate_of_last_built(rate: float, built: Sequence[int], whole: Sequence[int]) -> float:
    """The drop path rate of the deepest block that is built. Rates rise linearly from 0 to `rate` over all blocks.

    `built`: number of blocks in each built stage. `whole`: number of blocks in each stage of the architecture.
    """
    return rate * max(sum(built) - 1, 0) / max(sum(whole) - 1, 1)
