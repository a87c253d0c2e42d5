"""Fully convolutional head: a class for every pixel from the deepest map."""

from typing import ClassVar

from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Probability
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.dense_classifier import DenseClassifier
from backbonekit.ops.resize import resize_bilinear


class FCNHead(nn.Module):
    """Fully convolutional network's head: 3x3 convolution, norm, ReLU, 1x1 convolution; logits at the canvas's size.

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: hidden width; a quarter of the map's width when not given.
    `dropout`: share of hidden values set to zero in training; a larger share regularises more.
    `auxiliary`: a second such head on the second deepest map, for the loss only.
    `auxiliary_channels`: its hidden width; a quarter of its map's width when not given.

    Logits are resized to the canvas bilinearly, as the reference does; auxiliary logits too. These are computed in
    training and wherever targets are given.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015;
    torchvision/models/segmentation/fcn.py: FCNHead (at stride 8: set `output_stride: 8` of the backbone).
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels | None = None,
        dropout: Probability = 0.1,
        auxiliary: bool = False,
        auxiliary_channels: Channels | None = None,
    ) -> None:
        super().__init__()
        required = 2 if auxiliary else 1
        if len(features.levels) < required:
            raise ContractError(
                f"head fcn requires {required} level{'s' if required > 1 else ''}, it receives {len(features.levels)}. "
                + ("The fix: auxiliary=false, or one more level before it." if auxiliary else "")
            )
        self.classifier = DenseClassifier(features.levels[-1].channels, channels, num_classes, dropout)
        self.auxiliary_classifier = None
        if auxiliary:
            width = features.levels[-2].channels
            self.auxiliary_classifier = DenseClassifier(width, auxiliary_channels, num_classes, dropout)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, auxiliary: bool = False) -> Requirement:
        """The deepest map; the two deepest with the auxiliary head."""
        return Requirement(last=2 if auxiliary else 1)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        logits = resize_bilinear(self.classifier(maps.maps[-1]), canvas.size)
        if self.auxiliary_classifier is None or not (self.training or targets is not None):
            return DenseLogits(logits)
        return DenseLogits(logits, (resize_bilinear(self.auxiliary_classifier(maps.maps[-2]), canvas.size),))
