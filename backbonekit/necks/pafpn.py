"""Path aggregation network: a feature pyramid network with a second path, from fine to coarse."""

import torch.nn.functional as functional
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.necks.fpn import FeaturePyramidNetwork
from backbonekit.necks.levels import ExtraLevels, octave_levels, required_below
from backbonekit.ops.resize import resize_nearest


class PathAggregationNetwork(nn.Module):
    """Path aggregation network: a feature pyramid network, then a bottom-up path from fine to coarse levels.

        fpn p4 --------- + -- 3x3 --> p4 --> p5, p6
                         | 3x3, stride 2
        fpn p3 --------- + -- 3x3 --> p3
                         | 3x3, stride 2
        fpn p2 ---------------------> p2

    `channels`: width of every published level; the cost grows with its square.
    `norm`: after each convolution of both paths; the paper has none.
    `num_extra_levels`: levels coarser than the coarsest input, by 3x3 convolutions of stride 2 with ReLU between them.
    Where a head requires certain strides, the coarsest of them are the extra ones.

    The bottom-up path reads the sums before their 3x3 convolution. Publishes p2, p3, ... by octave, in the strides
    that it receives; extras pass through.

    Source: Liu et al., "Path Aggregation Network for Instance Segmentation", 2018, section 3.1; without the ReLU after
    each convolution, as mmdetection's mmdet/models/necks/pafpn.py.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        norm: Norm = "none",
        num_extra_levels: ExtraLevels = 0,
    ) -> None:
        super().__init__()
        self.features = octave_levels(features, channels, num_extra_levels, neck="pafpn")
        steps = len(features.levels) - 1
        self.fpn = FeaturePyramidNetwork(features, channels=channels, norm=norm)
        self.down = nn.ModuleList(
            ConvolutionNorm(channels, channels, kernel_size=3, stride=2, norm=norm) for _ in range(steps)
        )
        self.output = nn.ModuleList(ConvolutionNorm(channels, channels, kernel_size=3, norm=norm) for _ in range(steps))
        self.extra = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) for _ in range(num_extra_levels)
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
        top_down = self.fpn(maps, canvas).maps
        finer = top_down[0]
        levels = [finer]
        for level, down, output in zip(top_down[1:], self.down, self.output, strict=True):
            # Sizes are rounded by each backbone in its own way, and a level may be missing between two.
            finer = level + resize_nearest(down(finer), (level.shape[-2], level.shape[-1]))
            levels.append(output(finer))
        for index, extra in enumerate(self.extra):
            levels.append(extra(functional.relu(levels[-1]) if index else levels[-1]))
        return FeatureMaps(tuple(levels), extras=maps.extras)
