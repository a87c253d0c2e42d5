"""Pyramid pooling module: a map concatenated with its averages on grids of several sizes, then merged."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Norm
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.layers.pooled_context import PooledContext


class PyramidPooling(nn.Module):
    """Concatenates the map with its averages on square grids, then 3x3 convolution, norm, ReLU.

    `scales`: cells along a side of each grid, one pooled branch each; the paper has 1, 2, 3 and 6. Each branch and the
    result have `channels`.

    Source: Zhao et al., "Pyramid Scene Parsing Network", 2017, figure 3; with the 3x3 convolution as in Xiao et al.,
    "Unified Perceptual Parsing", 2018; transformers/models/upernet/modeling_upernet.py.
    """

    def __init__(self, in_channels: int, channels: int, *, scales: tuple[int, ...], norm: Norm = "batch") -> None:
        super().__init__()
        self.pooled = nn.ModuleList(PooledContext(in_channels, channels, side=side, norm=norm) for side in scales)
        self.merge = ConvolutionNorm(in_channels + len(scales) * channels, channels, kernel_size=3, norm=norm)

    def forward(
        self,
        maps: Float[Tensor, "batch in_channels height width"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch channels height width"]:
        """`mask`: True where the image is; padding enters the 3x3 convolution, but not the averages."""
        return self.merge(torch.cat([maps, *(pooled(maps, mask) for pooled in self.pooled)], dim=1)).relu_()
