"""Semantic FPN: the levels of a feature pyramid, upsampled step by step to the finest size and added."""

from typing import ClassVar

from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Norm, Probability
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.ops.resize import resize_bilinear


class SemanticFPNHead(nn.Module):
    """Panoptic FPN's branch for semantic segmentation; logits at the canvas's size.

        p5 -- 3x3, x2 -- 3x3, x2 -- 3x3, x2 --.
        p4 -- 3x3, x2 -- 3x3, x2 -------------+
        p3 -- 3x3, x2 ------------------------+-- 1x1 -- x4 -- logits
        p2 -- 3x3 ----------------------------'

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: hidden width.
    `norm`: after each 3x3 convolution, before its ReLU; the paper has group norm.
    `dropout`: share of the sum set to zero in training; the paper has none.

    Made for the levels of an `fpn`; accepts any levels at strides 4, 8, 16 and 32. All resizing is bilinear.

    Source: Kirillov et al., "Panoptic Feature Pyramid Networks", 2019, section 3.1 and figure 3;
    detectron2/modeling/meta_arch/semantic_seg.py: SemSegFPNHead.
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels = 128,
        norm: Norm = "group",
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, PYRAMID_STRIDES, part="head semantic_fpn")
        widths = [features.levels[position].channels for position in self.positions]
        # One convolution for each step to the finest level, and one for that level.
        self.ascents = nn.ModuleList(
            nn.ModuleList(
                ConvolutionNorm(channels if step else width, channels, kernel_size=3, norm=norm)
                for step in range(max(index, 1))
            )
            for index, width in enumerate(widths)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """Strides 4, 8, 16 and 32."""
        return Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        levels = [maps.maps[position] for position in self.positions]
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        total = self._upsampled(levels[0], self.ascents[0], sizes[:1])
        for index, ascent in enumerate(self.ascents[1:], start=1):
            total = total + self._upsampled(levels[index], ascent, sizes[:index])
        return DenseLogits(resize_bilinear(self.classifier(self.dropout(total)), canvas.size))

    def _upsampled(self, level: Tensor, ascent: nn.Module, sizes: list[tuple[int, int]]) -> Tensor:
        """The level, convolved and resized to the size of each finer level, coarse to fine."""
        for convolution, size in zip(ascent.children(), reversed(sizes), strict=True):
            level = convolution(level).relu_()
            if (level.shape[-2], level.shape[-1]) != size:
                level = resize_bilinear(level, size)
        return level
