"""Pyramid pooling: a map concatenated with its averages on grids of several sizes, then merged."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.options import Norm
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.ops.true_size_pooling import pool_to_grid, spread_from_grid


class PooledContext(nn.Module):
    """Average pooling to `side` x `side` cells, 1x1 convolution, norm, ReLU, and bilinear resizing to the map's size.

    Padding enters no average. In training with one image and one cell a batch norm has a single value a channel,
    which has no variance (torch raises an error): that step uses the running statistics and does not update them.

    Source: Zhao et al., "Pyramid Scene Parsing Network", 2017, section 3.2; with one cell the image pooling of Chen et
    al., "Rethinking Atrous Convolution", 2017, section 3.3.
    """

    def __init__(self, in_channels: int, channels: int, *, side: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.side = side
        self.projection = ConvolutionNorm(in_channels, channels, kernel_size=1, norm=norm)

    def forward(
        self,
        maps: Float[Tensor, "batch in_channels height width"],
        mask: Bool[Tensor, "batch height width"] | None,
    ) -> Float[Tensor, "batch channels height width"]:
        cells = self.projection.convolution(pool_to_grid(maps, self.side, mask))
        cells = _norm_cells(self.projection.norm, cells).relu()
        return spread_from_grid(cells, (maps.shape[-2], maps.shape[-1]), mask)


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


def _norm_cells(norm: nn.Module, cells: Tensor) -> Tensor:
    is_single_value = cells.shape[0] * cells.shape[2] * cells.shape[3] == 1
    if isinstance(norm, nn.BatchNorm2d) and norm.training and is_single_value:
        return functional.batch_norm(
            cells, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
        )
    return norm(cells)
