"""DeepLabV3+: atrous spatial pyramid pooling, sharpened by a fine level; a class for every pixel."""

from typing import ClassVar

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Channels, Classes, Dilation, Probability
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import Requirement, choose_levels
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.layers.atrous_pyramid import AtrousPyramid
from backbonekit.layers.convolution_norm import ConvolutionNorm, SeparableConvolution
from backbonekit.layers.dense_classifier import DenseClassifier
from backbonekit.ops.resize import resize_bilinear

FINE = 4


class DeepLabV3PlusHead(nn.Module):
    """DeepLabV3+'s encoder module and decoder; logits at the canvas's size.

        deepest  -- atrous pyramid -- resized --.
                                                +-- 3x3 -- 3x3 -- 1x1 -- logits
        stride 4 -- 1x1 ------------------------'

    `num_classes`: of pixels; 1 is one class and everything else.
    `channels`: hidden width. `fine_channels`: width that the level of stride 4 is reduced to, so that it does not
    outweigh the deep one.
    `rates`: dilations of the atrous pyramid: 6, 12, 18 for a deepest map of stride 16 (`output_stride: 16` in the
    arguments of a timm backbone), twice these at stride 8.
    `separable`: depthwise separable 3x3 convolutions throughout.
    `dropout`: share of the atrous pyramid's output set to zero in training.
    `auxiliary`: a fully convolutional head on the second deepest level, for the loss only.

    Padding is left out of the pooled branch. Auxiliary logits are computed in training and wherever targets are given.

    Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", 2018,
    section 3; the pyramid as in torchvision/models/segmentation/deeplabv3.py.
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        channels: Channels = 256,
        fine_channels: Channels = 48,
        rates: tuple[Dilation, ...] = (6, 12, 18),
        separable: bool = True,
        dropout: Probability = 0.5,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        (self.fine_position,) = choose_levels(features, (FINE,), part="head deeplabv3plus")
        required = 3 if auxiliary else 2
        given = ", ".join(f"{stride:g}" for stride in features.strides)
        if self.fine_position > len(features.levels) - required:
            raise ContractError(
                f"head deeplabv3plus requires {required - 1} level{'s' if auxiliary else ''} deeper than stride "
                f"{FINE}; it receives strides {given}. The fix: backbone.out_indices=auto"
                + (", or auxiliary=false." if auxiliary else ".")
            )
        deepest, fine = features.levels[-1].channels, features.levels[self.fine_position].channels
        self.pyramid = AtrousPyramid(deepest, channels, rates=rates, separable=separable, dropout=dropout)
        self.fine = ConvolutionNorm(fine, fine_channels, kernel_size=1, norm="batch")
        self.first = _convolution(channels + fine_channels, channels, separable)
        self.second = _convolution(channels, channels, separable)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.auxiliary_classifier = None
        if auxiliary:
            self.auxiliary_classifier = DenseClassifier(features.levels[-2].channels, channels, num_classes, 0.1)

    @classmethod
    def needs(cls, wanted: Requirement | None, *, auxiliary: bool = False) -> Requirement:
        """Stride 4 and the deepest map, whatever its stride; the two deepest with the auxiliary head."""
        return Requirement(strides=(FINE,), last=2 if auxiliary else 1)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        deepest, fine = maps.maps[-1], self.fine(maps.maps[self.fine_position]).relu_()
        deep = self.pyramid(deepest, canvas.mask_at(deepest.shape[-2], deepest.shape[-1]))
        together = torch.cat([resize_bilinear(deep, (fine.shape[-2], fine.shape[-1])), fine], dim=1)
        hidden = self.second(self.first(together).relu_()).relu_()
        logits = resize_bilinear(self.classifier(hidden), canvas.size)
        if self.auxiliary_classifier is None or not (self.training or targets is not None):
            return DenseLogits(logits)
        return DenseLogits(logits, (resize_bilinear(self.auxiliary_classifier(maps.maps[-2]), canvas.size),))


def _convolution(in_channels: int, channels: int, separable: bool) -> nn.Module:
    if separable:
        return SeparableConvolution(in_channels, channels, norm="batch")
    return ConvolutionNorm(in_channels, channels, kernel_size=3, norm="batch")
