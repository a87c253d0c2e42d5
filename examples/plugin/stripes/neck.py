"""A neck: each map is smoothed by itself."""

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Count
from backbonekit.contract.requirements import Requirement


class SmoothNeck(nn.Module):
    """Average pooling of stride 1 on each level; channels and sizes stay.

    `radius`: cells on each side that are averaged; a larger one smooths more.
    """

    def __init__(self, features: FeaturePyramid, *, radius: Count = 1) -> None:
        super().__init__()
        self.features = features  # what it publishes: the levels as they come
        self.pool = nn.AvgPool2d(2 * radius + 1, stride=1, padding=radius, count_include_pad=False)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """What the part behind it requires."""
        return wanted or Requirement(last=1)

    def forward(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        return FeatureMaps(tuple(self.pool(level) for level in maps.maps), extras=maps.extras)
