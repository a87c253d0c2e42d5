"""A convolution and the norm after it."""

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Norm
from backbonekit.layers.map_norm import map_norm


class ConvolutionNorm(nn.Module):
    """Convolution, then norm; no activation.

    `kernel_size`: odd; padded so that a stride of 1 keeps the size and a stride of 2 halves it, rounded up.
    `dilation`: the distance between the positions that are read, 1 for neighbours.
    `norm`: the convolution has a bias exactly where there is no norm, unless `bias` says otherwise.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        norm: Norm = "none",
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        has_bias = norm == "none" if bias is None else bias
        self.convolution = nn.Conv2d(
            in_channels,
            channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2 * dilation,
            dilation=dilation,
            bias=has_bias,
        )
        self.norm = map_norm(norm, channels)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch channels out_height out_width"]:
        return self.norm(self.convolution(maps))
