"""DPT's head for depth: a pyramid fused from coarse to fine, and three convolutions."""

from typing import ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Norm
from backbonekit.contract.predictions import DenseDepth, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, one_width
from backbonekit.contract.targets import Targets
from backbonekit.layers.feature_fusion import FeatureFusion
from backbonekit.ops.resize import resize_between_corners


class DPTHead(nn.Module):
    """Fusion of all levels, then convolutions at half the width and twice the size; depth is never negative.

    `hidden_channels`: width before the last convolution. `norm`: after each 3x3 convolution of the fusion's residual
    units. `bias`: of these convolutions; null: a bias where there is no norm. `project`: one more 3x3 convolution with
    ReLU before the others.

    Depth has four times the size of the finest level. Trained as in the paper it is an inverse depth up to scale and
    shift, larger where nearer; with the criterion metric_depth it is a distance.

    Source: Ranftl et al., "Vision Transformers for Dense Prediction" (2021), section 3 and figure 1;
    github.com/isl-org/DPT, dpt/models.py: DPTDepthModel; transformers/models/dpt/modeling_dpt.py.
    """

    criterion: ClassVar[str | None] = "relative_depth"
    scoring: ClassVar[Scoring] = "nearness"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        hidden_channels: Channels = 32,
        norm: Norm = "none",
        bias: bool | None = None,
        project: bool = False,
    ) -> None:
        super().__init__()
        width = one_width(features.levels, part="head dpt", fix="neck=dpt_reassemble (or fpn)")
        self.fusion = FeatureFusion(width, num_levels=len(features.levels), norm=norm, bias=bias)
        self.projection = nn.Conv2d(width, width, 3, padding=1) if project else None
        half = max(width // 2, 1)
        self.narrow = nn.Conv2d(width, half, 3, padding=1)
        self.hidden = nn.Conv2d(half, hidden_channels, 3, padding=1)
        self.depth = nn.Conv2d(hidden_channels, 1, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """A pyramid from stride 4 to 32."""
        return Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseDepth:
        fused = self.fusion(maps.maps)
        if self.projection is not None:
            fused = self.projection(fused).relu_()
        fused = self.narrow(fused)
        fused = resize_between_corners(fused, (2 * fused.shape[-2], 2 * fused.shape[-1]))
        return DenseDepth(self.depth(self.hidden(fused).relu_()).relu_()[:, 0])
