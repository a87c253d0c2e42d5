"""The fusion blocks of the hybrid encoder, of RT-DETR and of D-FINE: they merge two levels.

Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again" (2021); Wang et al., "CSPNet" (2020);
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/hybrid_encoder.py; Wang et al., "YOLOv9" (2024), for GELAN;
Wang et al., "YOLOv10" (2024), section 3.2, for decoupled downsampling; github.com/Peterande/D-FINE,
src/zoo/dfine/hybrid_encoder.py.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.options import Channels, Count
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.layers.feedforward import ACTIVATIONS, Activation

Fusion = Literal["csp", "elan"]


class ActiveConvolution(nn.Module):
    """Convolution without bias, batch norm, activation."""

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int, stride: int, activation: Activation
    ) -> None:
        super().__init__()
        self.layer = ConvolutionNorm(in_channels, channels, kernel_size=kernel_size, stride=stride, norm="batch")
        self.activation = ACTIVATIONS[activation]

    def forward(self, maps: Tensor) -> Tensor:
        return self.activation(self.layer(maps))


class RepBlock(nn.Module):
    """A 3x3 and a 1x1 convolution side by side, added. After training they could be folded into a single 3x3."""

    def __init__(self, channels: int, *, activation: Activation) -> None:
        super().__init__()
        self.wide = ConvolutionNorm(channels, channels, kernel_size=3, norm="batch")
        self.narrow = ConvolutionNorm(channels, channels, kernel_size=1, norm="batch")
        self.activation = ACTIVATIONS[activation]

    def forward(self, maps: Tensor) -> Tensor:
        return self.activation(self.wide(maps) + self.narrow(maps))


class CSPBlock(nn.Module):
    """Two paths from one map, added: one through `num_blocks` of `RepBlock`, one past them.

    `hidden_channels`: width of both paths; where it equals `channels`, no convolution follows the sum.
    """

    def __init__(
        self,
        in_channels: Channels,
        channels: Channels,
        *,
        hidden_channels: Channels,
        num_blocks: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.enter = ActiveConvolution(in_channels, hidden_channels, kernel_size=1, stride=1, activation=activation)
        self.shortcut = ActiveConvolution(in_channels, hidden_channels, kernel_size=1, stride=1, activation=activation)
        self.blocks = nn.Sequential(*(RepBlock(hidden_channels, activation=activation) for _ in range(num_blocks)))
        self.leave = (
            ActiveConvolution(hidden_channels, channels, kernel_size=1, stride=1, activation=activation)
            if hidden_channels != channels
            else nn.Identity()
        )

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        return self.leave(self.blocks(self.enter(maps)) + self.shortcut(maps))


class ELANBlock(nn.Module):
    """Two halves of one map, of which the second goes through two `CSPBlock`s; all four results are concatenated.

    `hidden_channels`: width of the output of each `CSPBlock`. `num_blocks`: `RepBlock`s in each.
    """

    def __init__(
        self,
        in_channels: Channels,
        channels: Channels,
        *,
        hidden_channels: Channels,
        num_blocks: Count,
        activation: Activation,
    ) -> None:
        super().__init__()
        half = in_channels // 2
        self.enter = ActiveConvolution(in_channels, 2 * half, kernel_size=1, stride=1, activation=activation)
        self.first = CSPBlock(
            half, hidden_channels, hidden_channels=hidden_channels, num_blocks=num_blocks, activation=activation
        )
        self.first_out = ActiveConvolution(
            hidden_channels, hidden_channels, kernel_size=3, stride=1, activation=activation
        )
        self.second = CSPBlock(
            hidden_channels,
            hidden_channels,
            hidden_channels=hidden_channels,
            num_blocks=num_blocks,
            activation=activation,
        )
        self.second_out = ActiveConvolution(
            hidden_channels, hidden_channels, kernel_size=3, stride=1, activation=activation
        )
        self.leave = ActiveConvolution(
            2 * half + 2 * hidden_channels, channels, kernel_size=1, stride=1, activation=activation
        )

    def forward(
        self, maps: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch channels height width"]:
        kept, worked = self.enter(maps).chunk(2, dim=1)
        first = self.first_out(self.first(worked))
        second = self.second_out(self.second(first))
        return self.leave(torch.cat((kept, worked, first, second), dim=1))


class SeparableDownsample(nn.Module):
    """A 1x1 convolution that mixes channels, a depthwise 3x3 of stride 2 that halves the size; no activation."""

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.mix = ConvolutionNorm(channels, channels, kernel_size=1, norm="batch")
        self.halve = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels _ _"]:
        return self.norm(self.halve(self.mix(maps)))


def fusion_block(
    fusion: Fusion, channels: Channels, *, expansion: float, num_blocks: Count, activation: Activation
) -> CSPBlock | ELANBlock:
    """Block from two concatenated maps of `channels` to one. `expansion`: hidden width; for `elan` half of that."""
    if fusion == "csp":
        hidden = max(1, int(channels * expansion))
        return CSPBlock(2 * channels, channels, hidden_channels=hidden, num_blocks=num_blocks, activation=activation)
    hidden = max(1, int(expansion * channels // 2))
    return ELANBlock(2 * channels, channels, hidden_channels=hidden, num_blocks=num_blocks, activation=activation)
