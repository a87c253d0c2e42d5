"""Channel mapper: every level is projected to one width, separately."""

from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.necks.levels import ExtraLevels, octave_levels, required_below


class ChannelMapper(nn.Module):
    """A 1x1 convolution and a norm for each level; no path between levels. Deformable encoders read these levels.

    `channels`: width of every published level.
    `norm`: after each convolution; the paper has group norm.
    `num_extra_levels`: levels coarser than the coarsest input, by 3x3 convolutions of stride 2, the first on the
    coarsest input map, each further one on the level before. Where a head requires certain strides, the coarsest of
    them are the extra ones.

    Publishes p2, p3, ... by octave, in the strides that it receives; extras pass through.

    Source: Zhu et al., "Deformable DETR", 2021, section 4.1 and appendix A.2 (`input_proj` in
    models/deformable_detr.py of the authors' repository).
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 256,
        norm: Norm = "group",
        num_extra_levels: ExtraLevels = 0,
    ) -> None:
        super().__init__()
        self.features = octave_levels(features, channels, num_extra_levels, neck="channel_mapper")
        self.lateral = nn.ModuleList(
            ConvolutionNorm(level.channels, channels, kernel_size=1, norm=norm, bias=True) for level in features.levels
        )
        self.extra = nn.ModuleList(
            ConvolutionNorm(
                features.levels[-1].channels if index == 0 else channels,
                channels,
                kernel_size=3,
                stride=2,
                norm=norm,
                bias=True,
            )
            for index in range(num_extra_levels)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_extra_levels: ExtraLevels = 0) -> Requirement:
        """The required strides without those that the neck makes itself; 4, 8, 16, 32 where no part requires any."""
        return required_below(wanted, num_extra_levels)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        levels = [lateral(level) for lateral, level in zip(self.lateral, maps.maps, strict=True)]
        level: Tensor = maps.maps[-1]
        for extra in self.extra:
            level = extra(level)
            levels.append(level)
        return FeatureMaps(tuple(levels), extras=maps.extras)
