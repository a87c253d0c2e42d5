"""Mask2Former's loss: a set of masks, matched and learned at a few points of the image."""

from typing import Annotated

from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import IGNORE_LABEL, Targets
from backbonekit.heads.mask2former.mask_points import AtPoints
from backbonekit.losses.mask_set_losses import IgnoreLabel, MaskWeights, mask_set_losses

Points = Annotated[int, Range(1, 1_000_000)]
Oversample = Annotated[float, Range(1.0, 100.0)]


class PointMaskSetCriterion(nn.Module):
    """Cross-entropy of the classes, cross-entropy and dice loss of the masks at sampled points, after a one-to-one
    matching.

    Terms and targets are those of `mask_set`: `class`, `mask`, `dice`, and again for every auxiliary answer. Points are
    drawn by torch's generator, so a loss differs from call to call. They lie on the image and never in its padding.

    `num_classes`: without "no object". `class_weight`, `mask_weight`, `dice_weight`: of the terms, and of what each
    says in the matching. `no_object_weight`: of queries without a mask in the cross-entropy. `num_points`: how many a
    mask is judged at; 12544 are 112 x 112. `oversample`: how many times as many are drawn to find those where the
    prediction is least sure. `importance`: the share of points that are found so; the rest is uniform. `ignore_label`:
    of pixels of a segmentation that nobody knows.

    Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 3.3;
    github.com/facebookresearch/Mask2Former, mask2former/modeling/criterion.py.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 2.0,
        mask_weight: Weight = 5.0,
        dice_weight: Weight = 5.0,
        no_object_weight: Probability = 0.1,
        num_points: Points = 12_544,
        oversample: Oversample = 3.0,
        importance: Probability = 0.75,
        ignore_label: IgnoreLabel = IGNORE_LABEL,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = MaskWeights(class_weight, mask_weight, dice_weight, no_object_weight, class_weight)
        self.comparison = AtPoints(num_points, oversample, importance)
        self.ignore_label = ignore_label

    def forward(self, prediction: MaskQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Scalars by name. One transfer to the host, for the matching of all images and layers."""
        return mask_set_losses(
            prediction,
            targets,
            canvas,
            comparison=self.comparison,
            num_classes=self.num_classes,
            weights=self.weights,
            ignore_label=self.ignore_label,
        )
