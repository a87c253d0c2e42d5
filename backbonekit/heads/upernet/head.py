"""UPerNet: pyramid pooling, a feature pyramid and the concatenation of its levels; a class for every pixel."""

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Count, Probability, Range, Side
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.layers.dense_classifier import DenseClassifier
from backbonekit.layers.pyramid_pooling import PyramidPooling
from backbonekit.ops.resize import resize_bilinear

Position = Annotated[int, Range(0, 99)]


class UPerNetHead(nn.Module):
    """Unified perceptual parsing's decoder for semantic segmentation; logits at the canvas's size.

        c5 -- pyramid pooling --------------- p5 ---- resized --.
                    | resized                                   |
        c4 -- 1x1 -- + ------------ 3x3 ----- p4 ---- resized --+-- 3x3 -- 1x1 -- logits
                    | resized                                   |
        c3 -- 1x1 -- + ------------ 3x3 ----- p3 ---------------'

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: hidden width; the cost grows with its square.
    `scales`: number of cells along a side, for each branch of the pyramid pooling.
    `dropout`: share of hidden values before both classifiers set to zero in training.
    `num_deepest_levels`: 0 takes one level at each of strides 4, 8, 16 and 32; another number takes that many of the
    deepest levels, whatever their strides (a plain transformer's blocks).
    `auxiliary`: a fully convolutional head on one level, for the loss only. `auxiliary_channels`: its hidden width.
    `auxiliary_level_index`: the level that it reads, among those that the head takes; 0 is the finest.

    Every convolution but the classifiers has a batch norm and ReLU. Padding is left out of the pooling. All resizing is
    bilinear. Auxiliary logits are computed in training and wherever targets are given.

    Source: Xiao et al., "Unified Perceptual Parsing for Scene Understanding", 2018, section 3.1;
    transformers/models/upernet/modeling_upernet.py (without dropout there).
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels = 512,
        scales: tuple[Side, ...] = (1, 2, 3, 6),
        dropout: Probability = 0.1,
        num_deepest_levels: Count = 0,
        auxiliary: bool = True,
        auxiliary_channels: Channels = 256,
        auxiliary_level_index: Position = 2,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, PYRAMID_STRIDES, num_deepest_levels, part="head upernet")
        widths = [features.levels[position].channels for position in self.positions]
        self.pooling = PyramidPooling(widths[-1], channels, scales=scales)
        # Fine to coarse, without the coarsest level, which has the pooling.
        self.lateral = nn.ModuleList(
            ConvolutionNorm(width, channels, kernel_size=1, norm="batch") for width in widths[:-1]
        )
        self.output = nn.ModuleList(
            ConvolutionNorm(channels, channels, kernel_size=3, norm="batch") for _ in widths[:-1]
        )
        self.merge = ConvolutionNorm(len(widths) * channels, channels, kernel_size=3, norm="batch")
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.auxiliary_classifier = None
        if auxiliary:
            if auxiliary_level_index >= len(widths):
                raise ContractError(
                    f"head upernet: auxiliary_level_index={auxiliary_level_index}, but it takes {len(widths)} "
                    f"levels, 0 to "
                    f"{len(widths) - 1}. The fix: auxiliary_level_index={max(len(widths) - 2, 0)}, or auxiliary=false."
                )
            self.auxiliary_position = self.positions[auxiliary_level_index]
            self.auxiliary_classifier = DenseClassifier(
                widths[auxiliary_level_index], auxiliary_channels, num_classes, dropout
            )

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_deepest_levels: Count = 0) -> Requirement:
        """Strides 4, 8, 16 and 32, or the deepest levels."""
        return Requirement(last=num_deepest_levels) if num_deepest_levels else Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        hidden = self._fused(self._top_down([maps.maps[position] for position in self.positions], canvas))
        logits = resize_bilinear(self.classifier(self.dropout(hidden)), canvas.size)
        if self.auxiliary_classifier is None or not (self.training or targets is not None):
            return DenseLogits(logits)
        auxiliary = self.auxiliary_classifier(maps.maps[self.auxiliary_position])
        return DenseLogits(logits, (resize_bilinear(auxiliary, canvas.size),))

    def _top_down(self, levels: list[Tensor], canvas: Canvas) -> list[Tensor]:
        deepest = levels[-1]
        merged = [self.pooling(deepest, canvas.mask_at(deepest.shape[-2], deepest.shape[-1]))]
        for level, lateral in zip(reversed(levels[:-1]), reversed(self.lateral), strict=True):
            size = (level.shape[-2], level.shape[-1])
            merged.insert(0, lateral(level).relu_() + resize_bilinear(merged[0], size))
        return merged

    def _fused(self, merged: list[Tensor]) -> Tensor:
        outputs = [output(level).relu_() for output, level in zip(self.output, merged[:-1], strict=True)]
        outputs.append(merged[-1])
        size = (outputs[0].shape[-2], outputs[0].shape[-1])
        return self.merge(torch.cat([outputs[0], *(resize_bilinear(level, size) for level in outputs[1:])], 1)).relu_()
