"""A head of one's own: a class for every pixel from all levels together."""

from typing import ClassVar

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Probability
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.ops.resize import resize_bilinear


class MixedLevelsHead(nn.Module):
    """All levels at the finest one's size, side by side, mixed by a 1x1 convolution; logits at the canvas's size.

    `channels`: hidden width.
    `dropout`: share of hidden values set to zero in training; a larger share regularises more.
    """

    # What wiring reads of the class; the options in YAML are the keyword-only arguments below.
    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels = 128,
        dropout: Probability = 0.1,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, PYRAMID_STRIDES, part="head mixed_levels")
        width = sum(features.levels[position].channels for position in self.positions)
        self.mix = nn.Conv2d(width, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        """One level at each stride of a pyramid: 4, 8, 16, 32."""
        return Requirement(strides=PYRAMID_STRIDES)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        levels = [maps.maps[position] for position in self.positions]
        finest = levels[0].shape[-2:]
        mixed = self.mix(torch.cat([resize_bilinear(level, finest) for level in levels], dim=1))
        logits = self.classifier(self.dropout(self.norm(mixed).relu()))
        return DenseLogits(resize_bilinear(logits, canvas.size))
