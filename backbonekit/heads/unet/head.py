"""U-Net's decoder: upsampling step by step to the image's size, with a skip connection at each size."""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid, octave
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.ops.resize import resize_nearest

STRIDES = (2, 4, 8, 16, 32)
Finest = Literal[2, 4]


class UNetHead(nn.Module):
    """U-Net's expanding path; logits at the canvas's size.

        c5 -- x2 -- concat c4 -- two 3x3 -- x2 -- concat c3 -- two 3x3 -- ... -- x2 -- two 3x3 -- 3x3 -- logits

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: width after each doubling of the size, coarse to fine: one for every level but the coarsest, and one
    for each doubling from the finest level to the canvas. Five of them for levels down to stride 32.
    `finest_stride`: stride of the finest level that is read, 4 or 2; stride 2 keeps thinner objects, and only
    convolutional backbones have it.

    Maps are upsampled by nearest sampling to the size of the map that they are concatenated with. Every convolution
    but the last has a batch norm and ReLU.

    Source: Ronneberger et al., "U-Net", 2015, on a classifier's levels as in segmentation_models.pytorch, decoders/
    unet/decoder.py.
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: tuple[Channels, ...] = (256, 128, 64, 32, 16),
        finest_stride: Finest = 4,
    ) -> None:
        super().__init__()
        strides = tuple(stride for stride in STRIDES if stride >= finest_stride)
        self.positions = choose_levels(features, strides, part="head unet")
        levels = [features.levels[position] for position in self.positions]
        # The doublings from the finest level to the canvas have no skip connection.
        skips = [level.channels for level in reversed(levels[:-1])] + [0] * octave(levels[0].stride)
        if len(channels) != len(skips):
            raise ContractError(
                f"head unet: channels={list(channels)} are {len(channels)} widths; over strides "
                f"{', '.join(map(str, strides))} with finest_stride={finest_stride} there are {len(skips)} "
                f"doublings. The fix: "
                f"{len(skips)} widths, such as {[max(256 >> step, 1) for step in range(len(skips))]}."
            )
        widths = (levels[-1].channels, *channels)
        self.steps = nn.ModuleList(
            _Step(before, skip, width) for before, skip, width in zip(widths, skips, channels, strict=False)
        )
        self.classifier = nn.Conv2d(channels[-1], num_classes, 3, padding=1)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, finest_stride: Finest = 4) -> Requirement:
        """Every stride from the finest to 32."""
        return Requirement(strides=tuple(stride for stride in STRIDES if stride >= finest_stride))

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        levels = [maps.maps[position] for position in self.positions]
        hidden, skips = levels[-1], list(reversed(levels[:-1]))
        for index, step in enumerate(self.steps):
            if index < len(skips):
                hidden = step(hidden, skips[index], (skips[index].shape[-2], skips[index].shape[-1]))
            else:
                hidden = step(hidden, None, _halved(canvas.size, len(self.steps) - 1 - index))
        return DenseLogits(self.classifier(hidden))


class _Step(nn.Module):
    """One doubling of the size: resizing, concatenation with the skip, two convolutions."""

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.first = ConvolutionNorm(in_channels + skip_channels, channels, kernel_size=3, norm="batch")
        self.second = ConvolutionNorm(channels, channels, kernel_size=3, norm="batch")

    def forward(self, maps: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        maps = resize_nearest(maps, size)
        together = maps if skip is None else torch.cat([maps, skip], dim=1)
        return self.second(self.first(together).relu_()).relu_()


def _halved(size: tuple[int, int], times: int) -> tuple[int, int]:
    """The size halved `times` times, rounded up each time as by strided convolutions."""
    height, width = (-(-side // 2**times) for side in size)
    return height, width
