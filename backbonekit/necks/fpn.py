"""Feature pyramid network: the top-down path with lateral connections."""

from typing import Literal

import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.necks.levels import ExtraLevels, octave_levels, required_below
from backbonekit.ops.resize import resize_nearest

Extra = Literal["max_pool", "convolution", "convolution_of_input"]


class FeaturePyramidNetwork(nn.Module):
    """Feature pyramid network: every level is projected to one width and added to the upsampled coarser level.

        c5 -- 1x1 ------------------ 3x3 --> p5 --> p6, p7
                     | x2 nearest
        c4 -- 1x1 -- + ------------- 3x3 --> p4
                     | x2 nearest
        c3 -- 1x1 -- + ------------- 3x3 --> p3

    `channels`: width of every published level; the cost grows with its square.
    `norm`: after each convolution; the paper has none.
    `num_extra_levels`: levels coarser than the coarsest input, each of half the size. Where a head requires certain
    strides, the coarsest of them are the extra ones.
    `extra`: how they are made: every second position of the level before (`max_pool`, as in the paper), or 3x3
    convolutions of stride 2 with ReLU between them, the first on the coarsest published level (`convolution`, as in
    FCOS and RetinaNet on P5) or on the coarsest input map (`convolution_of_input`, as in RetinaNet on C5).

    Publishes p2, p3, ... by octave, in the strides that it receives; extras pass through.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2017; the extra levels: Lin et al., "Focal Loss
    for Dense Object Detection", 2017. Reference: torchvision/ops/feature_pyramid_network.py.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        norm: Norm = "none",
        num_extra_levels: ExtraLevels = 0,
        extra: Extra = "max_pool",
    ) -> None:
        super().__init__()
        self.features = octave_levels(features, channels, num_extra_levels, neck="fpn")
        self.num_extra_levels = num_extra_levels
        self.extra = extra
        self.lateral = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm=norm) for level in features.levels
        )
        self.output = nn.ModuleList(
            ConvolutionNorm(channels, channels, kernel_size=3, norm=norm) for _ in features.levels
        )
        self.extra_convolutions = nn.ModuleList()
        if extra != "max_pool":
            first = channels if extra == "convolution" else features.levels[-1].channels
            self.extra_convolutions.extend(
                nn.Conv2d(first if index == 0 else channels, channels, 3, stride=2, padding=1)
                for index in range(num_extra_levels)
            )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_extra_levels: ExtraLevels = 0) -> Requirement:
        """The required strides without those that the neck makes itself; 4, 8, 16, 32 where no part requires any."""
        return required_below(wanted, num_extra_levels)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        merged = self._top_down([lateral(level) for lateral, level in zip(self.lateral, maps.maps, strict=True)])
        levels = [output(level) for output, level in zip(self.output, merged, strict=True)]
        levels += self._extra(maps.maps[-1], levels[-1])
        return FeatureMaps(tuple(levels), extras=maps.extras)

    def _top_down(self, laterals: list[Tensor]) -> list[Tensor]:
        merged = laterals[-1:]
        for lateral in reversed(laterals[:-1]):
            size = (lateral.shape[-2], lateral.shape[-1])
            merged.insert(0, lateral + resize_nearest(merged[0], size))
        return merged

    def _extra(self, coarsest_input: Tensor, coarsest: Tensor) -> list[Tensor]:
        if self.extra == "max_pool":
            extra: list[Tensor] = []
            for _ in range(self.num_extra_levels):
                # A window of one position selects it, without a maximum. The name is the paper's.
                extra.append(functional.max_pool2d(extra[-1] if extra else coarsest, kernel_size=1, stride=2))
            return extra
        extra = []
        level = coarsest if self.extra == "convolution" else coarsest_input
        for convolution in self.extra_convolutions:
            extra.append(convolution(functional.relu(extra[-1]) if extra else level))
        return extra
