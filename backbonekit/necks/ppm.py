"""Pyramid pooling module as a neck: the deepest level joined with its averages over regions of several sizes."""

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm, Side
from backbonekit.contract.requirements import Requirement
from backbonekit.layers.pyramid_pooling import PyramidPooling
from backbonekit.necks.levels import deepest_level, maps_with_deepest, required_with_deepest, with_deepest


class PyramidPoolingNeck(nn.Module):
    """Pyramid pooling on the deepest level; the others pass through.

    `channels`: width of the new deepest level and of each pooled branch; the paper has a quarter of the map's own.
    `scales`: cells along a side of each pooled branch. A larger number keeps more spatial detail.
    `norm`: after each convolution.

    Averages are taken over each image's own part of the canvas. Publishes the levels that it receives.

    Source: Zhao et al., "Pyramid Scene Parsing Network", 2017, section 3.2; transformers/models/upernet/
    modeling_upernet.py: UperNetPyramidPoolingModule.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        channels: Channels = 512,
        scales: tuple[Side, ...] = (1, 2, 3, 6),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        level = deepest_level(features, neck="ppm")
        self.pooling = PyramidPooling(level.channels, channels, scales=scales, norm=norm)
        self.features = with_deepest(features, channels)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """The levels required of the neck; the deepest level where no part requires any."""
        return required_with_deepest(wanted)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        deepest = maps.maps[-1]
        mask = canvas.mask_at(deepest.shape[-2], deepest.shape[-1])
        return maps_with_deepest(maps, self.pooling(deepest, mask))
