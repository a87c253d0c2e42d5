"""Depth Anything's head: fusion of a pyramid and a depth for every pixel that a patch covers."""

from typing import Annotated, ClassVar

from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Range
from backbonekit.contract.predictions import DenseDepth, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, one_width
from backbonekit.contract.targets import Targets
from backbonekit.layers.feature_fusion import FeatureFusion
from backbonekit.ops.resize import resize_between_corners


class DepthAnythingHead(nn.Module):
    """Fusion of all levels, then three convolutions, the last two of them at the size of the canvas.

    `hidden_channels`: width of the convolutions at full size; most of the head's cost depends on it.
    `metric`: depth is a distance between 0 and `max_depth` (a sigmoid), to be trained with the criterion metric_depth;
    otherwise it is an inverse depth up to scale and shift, larger where nearer and never negative (a ReLU).
    `max_depth`: factor after the sigmoid or ReLU; for metric depth the largest distance in metres, 20 indoors and 80
    outdoors.

    Depth has the size of the canvas without the pixels beyond the last whole patch, which no map covers.

    Source: Yang et al., "Depth Anything" (2024), section 3, and "Depth Anything V2" (2024);
    github.com/DepthAnything/Depth-Anything-V2, depth_anything_v2/dpt.py: DPTHead;
    transformers/models/depth_anything/modeling_depth_anything.py.
    """

    criterion: ClassVar[str | None] = "relative_depth"
    scoring: ClassVar[Scoring] = "nearness"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        hidden_channels: Channels = 32,
        metric: bool = False,
        max_depth: Annotated[float, Range(1e-6, 1e6)] = 1.0,
    ) -> None:
        super().__init__()
        width = one_width(features.levels, part="head depth_anything", fix="neck=dpt_reassemble (or fpn)")
        self.fusion = FeatureFusion(width, num_levels=len(features.levels), size="next_level")
        half = max(width // 2, 1)
        self.narrow = nn.Conv2d(width, half, 3, padding=1)
        self.hidden = nn.Conv2d(half, hidden_channels, 3, padding=1)
        self.depth = nn.Conv2d(hidden_channels, 1, 1)
        self.metric = metric
        self.max_depth = max_depth
        # Exact, because a stride is a whole number divided by a power of two.
        self.stride = float(features.levels[0].stride).as_integer_ratio()

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """A pyramid from stride 4 to 32."""
        return Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseDepth:
        narrow = self.narrow(self.fusion(maps.maps))
        depth = self.depth(
            self.hidden(resize_between_corners(narrow, self._covered_size(maps.maps[0], canvas))).relu_()
        )
        depth = depth.sigmoid() if self.metric else depth.relu()
        return DenseDepth(depth[:, 0] * self.max_depth)

    def _covered_size(self, finest: Tensor, canvas: Canvas) -> tuple[int, int]:
        """(height, width) of the part of the canvas that the maps cover, in pixels: at least one, at most all."""
        pixels, steps = self.stride
        height, width = (
            max(min(side * pixels // steps, whole), 1)
            for side, whole in zip(finest.shape[-2:], canvas.size, strict=True)
        )
        return height, width
