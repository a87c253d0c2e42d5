"""A head: a class for every pixel from the finest map."""

from typing import ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Classes
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.ops.resize import resize_bilinear


class PerPixelHead(nn.Module):
    """A 1x1 convolution on the finest level; logits at the canvas's size."""

    criterion: ClassVar[str | None] = "soft_dice"  # the loss of this package
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(self, features: FeaturePyramid, *, num_classes: Classes) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(features.levels[0].channels, num_classes, 1)

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(strides=(4,))

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        return DenseLogits(resize_bilinear(self.classifier(maps.maps[0]), canvas.size))
