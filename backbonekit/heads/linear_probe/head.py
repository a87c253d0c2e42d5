"""Linear probe for semantic segmentation: a linear classifier on the maps of a frozen backbone."""

from typing import Annotated, ClassVar

import torch
from torch import nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.options import Classes, Probability, Range
from backbonekit.contract.predictions import DenseLogits, Scoring
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.ops.resize import resize_bilinear

LevelCount = Annotated[int, Range(1, 100)]


class LinearProbeHead(nn.Module):
    """Concatenation of the deepest maps, batch norm, dropout, a 1x1 convolution; logits at the finest map's size.

    `num_classes`: of pixels; 1 is one class and everything else.
    `num_levels`: how many of the deepest maps; DINOv2 probes the last block alone, or the last four.
    `dropout`: share of values set to zero in training.

    Coarser maps are resized to the finest bilinearly. The criterion resizes the logits to the canvas. Train it with
    the backbone frozen (`freeze`): then only the norm and the convolution are trained.

    Source: Oquab et al., "DINOv2", 2023, section 7.4; github.com/facebookresearch/dinov2,
    dinov2/eval/segmentation/models/decode_heads/linear_head.py: BNHead.
    """

    criterion: ClassVar[str | None] = "dense_cross_entropy"
    scoring: ClassVar[Scoring] = "softmax"

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        num_classes: Classes,
        num_levels: LevelCount = 1,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__()
        count = len(features.levels)
        if num_levels > count:
            raise ContractError(
                f"head linear_probe: num_levels={num_levels}, but it receives {count} "
                f"level{'' if count == 1 else 's'}. The "
                f"fix: num_levels={count}, or backbone.out_indices=auto."
            )
        self.num_levels = num_levels
        width = sum(features.channels[-num_levels:])
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    @classmethod
    def needs(cls, wanted: Requirement | None, *, num_levels: LevelCount = 1) -> Requirement:
        """That many of the deepest maps, whatever their strides."""
        return Requirement(last=num_levels)

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None = None) -> DenseLogits:
        first, *coarser = maps.maps[-self.num_levels :]
        size = (first.shape[-2], first.shape[-1])
        together = torch.cat([first, *(resize_bilinear(level, size) for level in coarser)], dim=1)
        return DenseLogits(self.classifier(self.dropout(self.norm(together))))
