"""SegFormer's all-MLP decoder: every level is projected to one width, resized to one size and mixed."""

from typing import ClassVar

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Probability
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.layers.convolution_norm import ConvolutionNorm
from backbonekit.ops.resize import resize_bilinear


class SegFormerHead(nn.Module):
    """A linear layer for each of four levels, bilinear resizing to the finest, a linear mix, batch norm, ReLU, classes.

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: hidden width; the paper has 256 with its two smallest encoders and 768 with the others.
    `dropout`: share of the mix set to zero in training; a larger share regularises more.

    Logits have the size of the finest level, stride 4; the criterion resizes them to the canvas.

    Source: Xie et al., "SegFormer", 2021, section 3.2; transformers/models/segformer/modeling_segformer.py:
    SegformerDecodeHead.
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels = 256,
        dropout: Probability = 0.1,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, PYRAMID_STRIDES, part="head segformer")
        self.linear = nn.ModuleList(
            nn.Conv2d(features.levels[position].channels, channels, 1) for position in self.positions
        )
        self.mix = ConvolutionNorm(len(PYRAMID_STRIDES) * channels, channels, kernel_size=1, norm="batch")
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """Strides 4, 8, 16 and 32."""
        return Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        levels = [linear(maps.maps[position]) for linear, position in zip(self.linear, self.positions, strict=True)]
        size = (levels[0].shape[-2], levels[0].shape[-1])
        # Concatenated coarse to fine, the order of the authors' weights.
        together = torch.cat([*(resize_bilinear(level, size) for level in reversed(levels[1:])), levels[0]], dim=1)
        return DenseLogits(self.classifier(self.dropout(self.mix(together).relu_())))
