"""Depthwise separable convolution: a depthwise, then a pointwise convolution."""

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Norm
from backbonekit.layers.map_norm import map_norm


class SeparableConvolution(nn.Module):
    """Depthwise 3x3 convolution, 1x1 convolution, norm; no activation. Keeps the size.

    `dilation`: the distance between the nine positions that are read; a larger one has a larger receptive field.

    Source: Chollet, "Xception", 2017, section 2; dilated: Chen et al., "Encoder-Decoder with Atrous Separable
    Convolution", 2018, section 3.1.
    """

    def __init__(self, in_channels: int, channels: int, *, dilation: int = 1, norm: Norm = "none") -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, padding=dilation, dilation=dilation, groups=in_channels, bias=False
        )
        self.pointwise = nn.Conv2d(in_channels, channels, 1, bias=norm == "none")
        self.norm = map_norm(norm, channels)

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return self.norm(self.pointwise(self.depthwise(maps)))
