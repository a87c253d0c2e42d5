"""Weighted bi-directional feature pyramid network, the neck of EfficientDet."""

from typing import Annotated

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm, Range
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import ConvolutionNorm, SeparableConvolution
from backbonekit.necks.levels import ExtraLevels, octave_levels, required_below
from backbonekit.ops.resize import resize_nearest

Repeats = Annotated[int, Range(1, 32)]  # EfficientDet-D7 has 8


class BiFPN(nn.Module):
    """Bi-directional feature pyramid: a path from coarse to fine and one back, with weighted sums, repeated.

        p5 in -------------------- p5 out
              \\ x2               / max pooling
        p4 in -- + -- middle -- + -- p4 out      (p4 in enters both sums)
                     \\ x2     / max pooling
        p3 in -------- + ---- p3 out

    `channels`: width of every published level.
    `num_repeats`: how often both paths run, each time with weights of their own; more of them mix the levels more.
    `num_extra_levels`: levels coarser than the coarsest input: a 1x1 convolution of it and max pooling, then max
    pooling only. Where a head requires certain strides, the coarsest of them are the extra ones.
    `norm`: after each convolution.

    A sum multiplies its maps by learned weights of at least 0, divided by their total; SiLU and a depthwise separable
    3x3 convolution follow. In the first run every backbone map but the finest is projected twice, once for each sum
    that it enters. Publishes p3, p4, ... by octave, in the strides that it receives; extras pass through.

    Source: Tan et al., "EfficientDet", 2020, section 3; github.com/google/automl,
    efficientdet/tf2/efficientdet_keras.py.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 64,
        num_repeats: Repeats = 3,
        num_extra_levels: ExtraLevels = 0,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.features = octave_levels(features, channels, num_extra_levels, neck="bifpn")
        levels = len(self.features.levels)
        if levels < 2:
            raise ContractError(
                f"neck bifpn receives {features.levels[0].name} alone; its paths run between two levels or more. The "
                f"fix: num_extra_levels=1, or one more level before it."
            )
        self.lateral = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm=norm) for level in features.levels
        )
        self.second_lateral = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm=norm) for level in features.levels[1:]
        )
        self.extra = nn.ModuleList(
            ConvolutionNorm(features.levels[-1].channels, channels, kernel_size=1, norm=norm)
            for _ in range(min(num_extra_levels, 1))
        )
        self.num_extra_levels = num_extra_levels
        self.runs = nn.ModuleList(_Run(levels, channels, norm) for _ in range(num_repeats))

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_extra_levels: ExtraLevels = 0) -> Requirement:
        """The required strides without those that the neck makes itself; 4, 8, 16, 32 where no part requires any."""
        return required_below(wanted, num_extra_levels)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        extra = [convolution(maps.maps[-1]) for convolution in self.extra]
        extra = [_halved(level) for level in extra]
        while len(extra) < self.num_extra_levels:
            extra.append(_halved(extra[-1]))
        first = [lateral(level) for lateral, level in zip(self.lateral, maps.maps, strict=True)]
        second = [lateral(level) for lateral, level in zip(self.second_lateral, maps.maps[1:], strict=True)]
        levels = self.runs[0](first + extra, second + extra)
        for run in self.runs[1:]:
            levels = run(levels, levels[1:])
        return FeatureMaps(tuple(levels), extras=maps.extras)


class _Run(nn.Module):
    """Both paths once. Takes the levels for the way down, and all but the finest again for the way back up."""

    def __init__(self, num_levels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        # Fine to coarse. The finest level's sum ends the way down, the coarsest's ends the way up.
        self.down = nn.ModuleList(_WeightedSum(2, channels, norm) for _ in range(num_levels - 1))
        self.up = nn.ModuleList(
            _WeightedSum(2 if index == num_levels - 2 else 3, channels, norm) for index in range(num_levels - 1)
        )

    def forward(self, levels: list[Tensor], again: list[Tensor]) -> list[Tensor]:
        middle = [levels[-1]]
        for level, node in zip(reversed(levels[:-1]), reversed(self.down), strict=True):
            middle.insert(0, node([level, resize_nearest(middle[0], (level.shape[-2], level.shape[-1]))]))
        outputs = middle[:1]
        for level, passed, node in zip(again[:-1], middle[1:-1], self.up[:-1], strict=True):
            outputs.append(node([level, passed, _at_size_of(_halved(outputs[-1]), level)]))
        outputs.append(self.up[-1]([again[-1], _at_size_of(_halved(outputs[-1]), again[-1])]))
        return outputs


class _WeightedSum(nn.Module):
    """Fast normalised fusion, SiLU, depthwise separable convolution, norm."""

    def __init__(self, inputs: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs))
        self.convolution = SeparableConvolution(channels, channels, norm=norm)

    def forward(
        self, maps: list[Float[Tensor, "batch channels height width"]]
    ) -> Float[Tensor, "batch channels height width"]:
        weight = self.weight.relu()
        weight = weight / (weight.sum() + 1e-4)  # the paper's epsilon
        total = torch.stack([level * share for level, share in zip(maps, weight, strict=True)]).sum(dim=0)
        return self.convolution(functional.silu(total))


def _halved(level: Tensor) -> Tensor:
    return functional.max_pool2d(level, kernel_size=3, stride=2, padding=1)


def _at_size_of(level: Tensor, other: Tensor) -> Tensor:
    """Sizes are rounded by each backbone in its own way, and a level may be missing between two."""
    return resize_nearest(level, (other.shape[-2], other.shape[-1]))
