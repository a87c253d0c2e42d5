"""Atrous spatial pyramid pooling: parallel convolutions with several dilation rates, and the image's average."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Norm
from backbonekit.layers.convolution_norm import ConvolutionNorm, SeparableConvolution
from backbonekit.layers.pyramid_pooling import PooledContext


class AtrousPyramid(nn.Module):
    """Concatenates a 1x1 convolution, dilated 3x3 convolutions and image pooling; a 1x1 convolution merges them.

    `rates`: dilations of the 3x3 convolutions, one branch each; larger ones have a larger receptive field.
    The paper has 6, 12, 18 at stride 16 and doubles them at stride 8. `separable`: depthwise separable convolutions,
    about ten times cheaper.
    `dropout`: share of the result set to zero in training.

    Source: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, section 3.3;
    torchvision/models/segmentation/deeplabv3.py: ASPP.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        rates: tuple[int, ...],
        norm: Norm = "batch",
        separable: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.point = ConvolutionNorm(in_channels, channels, kernel_size=1, norm=norm)
        self.atrous = nn.ModuleList(
            SeparableConvolution(in_channels, channels, dilation=rate, norm=norm)
            if separable
            else ConvolutionNorm(in_channels, channels, kernel_size=3, dilation=rate, norm=norm)
            for rate in rates
        )
        self.pooled = PooledContext(in_channels, channels, side=1, norm=norm)
        self.merge = ConvolutionNorm((len(rates) + 2) * channels, channels, kernel_size=1, norm=norm)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        maps: Float[Tensor, "batch in_channels height width"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch channels height width"]:
        """`mask`: True where the image is; padding does not enter the average of the image."""
        branches = [branch(maps).relu_() for branch in (self.point, *self.atrous)]
        return self.dropout(self.merge(torch.cat([*branches, self.pooled(maps, mask)], dim=1)).relu_())
