"""Convolutions with the norm after them, and the norms of feature maps by the names that recipes use."""

from math import gcd

import torch
from jaxtyping import Float
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from backbonekit.contract.options import Norm

GROUPS = 32  # Wu and He, "Group Normalization", 2018


def map_norm(kind: Norm, channels: int) -> nn.Module:
    """A norm for maps of [batch, channels, height, width].

    `batch`: over the batch and all positions. `group`: over 32 groups of channels, fewer where 32 does not divide them.
    `layer`: over the channels of each position, as in ConvNeXt and ViTDet. `none`: passes the map on.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return GroupNorm(gcd(GROUPS, channels), channels)
    if kind == "layer":
        return LayerNorm2d(channels, eps=1e-6)
    return nn.Identity()


class GroupNorm(nn.GroupNorm):
    """Group norm that also accepts a group of one value, as on the coarsest map of a tiny image; it returns the bias
    there. torch's own raises an error."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


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
