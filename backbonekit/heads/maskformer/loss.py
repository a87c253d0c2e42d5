"""MaskFormer's loss: the set of predicted masks is matched to the set of true ones."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Weight
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import IGNORE_LABEL, Targets
from backbonekit.losses.mask_matching import MaskMatches, pairwise_mask_costs
from backbonekit.losses.mask_set_losses import IgnoreLabel, MaskWeights, mask_set_losses
from backbonekit.losses.mask_terms import mask_terms
from backbonekit.losses.mask_truth import MaskTruth


class MaskSetCriterion(nn.Module):
    """Cross-entropy of the classes, focal and dice loss of the masks, after a one-to-one matching.

    Terms: `class`, `mask`, `dice`; for every auxiliary answer again, with `_0`, `_1`, ... after the name and the same
    weights. Reads `labels` and `masks`, or `segmentation`, whose classes are the masks and whose 255 counts nowhere.
    Padding counts nowhere where the canvas has a mask. An image without these keys is left out.

    `num_classes`: without "no object". `class_weight`, `mask_weight`, `dice_weight`: of the terms; a larger mask or
    dice weight also makes masks matter more against classes in the matching. `no_object_weight`: of queries without a
    mask in the cross-entropy; small, since most are. `ignore_label`: of pixels of a segmentation that nobody knows.

    Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
    github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 1.0,
        mask_weight: Weight = 20.0,
        dice_weight: Weight = 1.0,
        no_object_weight: Probability = 0.1,
        ignore_label: IgnoreLabel = IGNORE_LABEL,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.ignore_label = ignore_label

    def forward(self, prediction: MaskQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Scalars by name. One transfer to the host, for the matching of all images and layers."""
        return mask_set_losses(
            prediction,
            targets,
            canvas,
            comparison=EveryPixel(),
            num_classes=self.num_classes,
            # The class counts once in the matching, whatever its weight in the loss, as in the reference.
            weights=MaskWeights(self.class_weight, self.mask_weight, self.dice_weight, self.no_object_weight, 1.0),
            ignore_label=self.ignore_label,
        )


class EveryPixel:
    """Compares masks pixel by pixel: at the logits' size for matching, at the truth's size for learning."""

    def costs(
        self, layers: Sequence[MaskQueries], truth: MaskTruth, canvas: Canvas
    ) -> tuple[Float[Tensor, "layers rows queries masks"], Float[Tensor, "layers rows queries masks"]]:
        size = (layers[0].mask_logits.shape[-2], layers[0].mask_logits.shape[-1])
        masks = truth.masks_at(size).flatten(2)
        valid = truth.valid_at(size)
        pairwise = [
            pairwise_mask_costs(
                truth.rows_of(layer.mask_logits).flatten(2), masks, None if valid is None else valid.flatten(1)
            )
            for layer in layers
        ]
        focal, dice = zip(*pairwise, strict=True)
        return torch.stack(focal), torch.stack(dice)

    def losses(
        self, logits: Float[Tensor, "pairs height width"], truth: MaskTruth, matches: MaskMatches, canvas: Canvas
    ) -> tuple[Float[Tensor, "pairs"], Float[Tensor, "pairs"]]:
        rows = matches.rows.flatten()
        masks = truth.select(rows, matches.targets.flatten())
        return mask_terms(logits, masks, None if truth.valid is None else truth.valid[rows])
