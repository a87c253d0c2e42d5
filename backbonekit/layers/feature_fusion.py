"""Fusion of pyramid levels into one map with residual units, from the coarsest level to the finest.

Source: Ranftl et al., "Vision Transformers for Dense Prediction" (2021), section 3, figure 1; github.com/isl-org/DPT,
dpt/blocks.py: FeatureFusionBlock_custom.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Norm
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.ops.resize import resize_between_corners, resize_bilinear

FusionSize = Literal["double", "next_level"]


class ResidualUnit(nn.Module):
    """Pre-activation residual unit: twice ReLU, 3x3 convolution and norm, with a shortcut."""

    def __init__(self, channels: Channels, *, norm: Norm = "none", bias: bool | None = None) -> None:
        super().__init__()
        self.first = ConvolutionNorm(channels, channels, kernel_size=3, norm=norm, bias=bias)
        self.second = ConvolutionNorm(channels, channels, kernel_size=3, norm=norm, bias=bias)

    def forward(
        self, maps: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return maps + self.second(self.first(maps.relu()).relu_())


class FusionBlock(nn.Module):
    """Adds a level to the fused coarser levels and enlarges the sum.

    `joins`: False for the coarsest level, which has nothing to be added to.
    """

    def __init__(self, channels: Channels, *, joins: bool, norm: Norm = "none", bias: bool | None = None) -> None:
        super().__init__()
        self.level = ResidualUnit(channels, norm=norm, bias=bias) if joins else None
        self.fused = ResidualUnit(channels, norm=norm, bias=bias)
        self.projection = nn.Conv2d(channels, channels, 1)

    def forward(
        self,
        level: Float[Tensor, "batch channels level_height level_width"],
        coarser: Float[Tensor, "batch channels height width"] | None,
        size: tuple[int, int] | None,
    ) -> Float[Tensor, "batch channels new_height new_width"]:
        """`size`: (height, width) of the result; None doubles."""
        fused = level
        if self.level is not None and coarser is not None:
            if level.shape[-2:] != coarser.shape[-2:]:
                level = resize_bilinear(level, (coarser.shape[-2], coarser.shape[-1]))
            fused = coarser + self.level(level)
        fused = self.fused(fused)
        # The reference resizes first. A 1x1 projection and resizing commute, and the small map is cheaper.
        return resize_between_corners(self.projection(fused), size or (2 * fused.shape[-2], 2 * fused.shape[-1]))


class FeatureFusion(nn.Module):
    """Fuses a pyramid of one width, fine to coarse, into one map of twice the finest level's size.

    `num_levels`: the number of levels. `norm`: after each 3x3 convolution of the residual units. `bias`: of these
    convolutions; None: exactly where there is no norm.
    `size`: "double": a fused map doubles, and the next level is resized to it; "next_level": the fused map is resized
    to the next level, so that odd sizes lose nothing.
    """

    def __init__(
        self,
        channels: Channels,
        *,
        num_levels: int,
        norm: Norm = "none",
        bias: bool | None = None,
        size: FusionSize = "double",
    ) -> None:
        super().__init__()
        self.size = size
        self.blocks = nn.ModuleList(
            FusionBlock(channels, joins=index < num_levels - 1, norm=norm, bias=bias) for index in range(num_levels)
        )

    def forward(self, maps: tuple[Tensor, ...]) -> Float[Tensor, "batch channels height width"]:
        """`maps`: each [batch, channels, height, width], as many as there are levels."""
        fused = None
        for index in reversed(range(len(maps))):
            following = maps[index - 1].shape[-2:] if self.size == "next_level" and index else None
            fused = self.blocks[index](maps[index], fused, None if following is None else tuple(following))
        assert fused is not None, "a pyramid has a level"
        return fused
