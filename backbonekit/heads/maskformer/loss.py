"""MaskFormer's loss: the set of predicted masks is matched with the set of ground-truth masks."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, IgnoreLabel, Probability, Weight
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.mask_matching import MaskMatches, pairwise_mask_costs
from backbonekit.losses.mask_set_losses import MaskWeights, mask_set_losses
from backbonekit.losses.mask_targets import MaskTargets
from backbonekit.losses.mask_terms import mask_terms


class MaskSetCriterion(nn.Module):
    """Cross-entropy of the classes, focal and dice loss of the masks, after a one-to-one matching.

    Terms: `class`, `mask`, `dice`; the same with a suffix `_0`, `_1`, ... and the same weights for auxiliary
    predictions. Reads `labels` and `masks`, or `segmentation`, whose classes are the masks. Pixels with the ignored
    label, and padding where the canvas has a mask, count in no term. An image without these keys is left out.

    `num_classes`: without "no object". `class_weight`, `mask_weight`, `dice_weight`: weights of the terms; those of
    masks are also their weights in the matching, where the weight of the class is 1. `no_object_weight`: weight of
    queries without a mask in the cross-entropy; small, since most have none. `ignore_label`: the label of pixels
    without a class in a segmentation, from `processing.ignore_label`; 255, or -1 where that is a class.

    Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
    github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
    """

    reads: ClassVar[Reads] = (("masks", "labels"), ("segmentation",))

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 1.0,
        mask_weight: Weight = 20.0,
        dice_weight: Weight = 1.0,
        no_object_weight: Probability = 0.1,
        ignore_label: IgnoreLabel | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.ignore_label = ignored_label(ignore_label, num_classes)

    def forward(self, prediction: MaskQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns scalars by name. One transfer to the host, for the matching of all images and layers."""
        return mask_set_losses(
            prediction,
            targets,
            canvas,
            comparison=EveryPixel(),
            num_classes=self.num_classes,
            # The class has weight 1 in the matching, whatever its weight in the loss, as in the reference.
            weights=MaskWeights(self.class_weight, self.mask_weight, self.dice_weight, self.no_object_weight, 1.0),
            ignore_label=self.ignore_label,
        )


class EveryPixel:
    """Compares masks pixel by pixel: at the logits' size for the matching, at the targets' size for the loss."""

    def costs(
        self, layers: Sequence[MaskQueries], targets: MaskTargets, canvas: Canvas
    ) -> tuple[Float[Tensor, "layers rows queries masks"], Float[Tensor, "layers rows queries masks"]]:
        size = (layers[0].mask_logits.shape[-2], layers[0].mask_logits.shape[-1])
        masks = targets.masks_at(size).flatten(2)
        valid = targets.valid_at(size)
        pairwise = [
            pairwise_mask_costs(
                targets.select_images(layer.mask_logits).flatten(2), masks, None if valid is None else valid.flatten(1)
            )
            for layer in layers
        ]
        focal, dice = zip(*pairwise, strict=True)
        return torch.stack(focal), torch.stack(dice)

    def losses(
        self, logits: Float[Tensor, "pairs height width"], targets: MaskTargets, matches: MaskMatches, canvas: Canvas
    ) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
        rows = matches.rows.flatten()
        masks = targets.select_masks(rows, matches.targets.flatten())
        return mask_terms(logits, masks, None if targets.valid is None else targets.valid[rows])
