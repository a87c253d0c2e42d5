"""MaskFormer's loss: the set of predicted masks is matched to the set of true ones."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.answers import MaskQueries
from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.targets import IGNORE_LABEL, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.mask_matching import MaskMatches, match_masks
from backbonekit.losses.mask_terms import mask_terms
from backbonekit.losses.mask_truth import MaskTruth, read_masks
from backbonekit.losses.process_mean import mean_over_processes
from backbonekit.losses.zero import zero_of
from backbonekit.ops.precision import at_least_single

Label = Annotated[int, Range(-1, 100_000)]


class MaskSetCriterion(nn.Module):
    """Cross-entropy of the classes, focal and dice loss of the masks, after a one-to-one matching.

    Terms: `class`, `mask`, `dice`; for every auxiliary answer again, with `_0`, `_1`, ... after the name and the same
    weights. Reads `labels` and `masks`, or `segmentation`, whose classes are the masks and whose 255 counts nowhere.
    Padding counts nowhere where the canvas has a mask. A picture without these keys is left out.

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
        ignore_label: Label = IGNORE_LABEL,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.ignore_label = ignore_label

    def forward(self, answer: MaskQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Scalars by name. One transfer to the host, for the matching of all pictures and layers."""
        batch, device = answer.class_logits.shape[0], answer.class_logits.device
        if len(targets) != batch:
            raise ContractError(f"{len(targets)} targets for {batch} pictures; give one dict a picture.")
        # Losses are sums over many pixels: too coarse in 16 bits.
        with torch.autocast(device.type, enabled=False):
            layers = [_at_least_float32(layer) for layer in (answer, *(answer.auxiliary or ()))]
            truth = read_masks(
                targets, canvas, num_classes=self.num_classes, ignore_label=self.ignore_label, device=device
            )
            if truth is None:
                mean_over_processes(torch.zeros((), device=device))
                zeros = [zero_of(layer) for layer in layers]
                return self._named(zeros, zeros, zeros)
            matches = match_masks(
                layers,
                truth,
                num_classes=self.num_classes,
                mask_weight=self.mask_weight,
                dice_weight=self.dice_weight,
            )
            focal, dice = _mask_losses(layers, truth, matches)
            return self._named(self._class_losses(layers, truth, matches), focal, dice)

    def _class_losses(self, layers: Sequence[MaskQueries], truth: MaskTruth, matches: MaskMatches) -> Tensor:
        """Weighted cross-entropy of every layer, [layers]."""
        logits = torch.stack([truth.rows_of(layer.class_logits) for layer in layers])
        labels = torch.full(logits.shape[:-1], self.num_classes, device=logits.device)
        layer_index = torch.arange(len(layers), device=logits.device)[:, None].expand_as(matches.rows)
        labels[layer_index, matches.rows, matches.queries] = truth.labels[matches.rows, matches.targets]
        losses = functional.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view_as(labels)
        weights = torch.where(labels == self.num_classes, self.no_object_weight, 1.0).to(losses.dtype)
        # At least something: with a no_object_weight of 0 a batch without masks weighs nothing.
        return (losses * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-6)

    def _named(
        self, classes: Sequence[Tensor] | Tensor, masks: Sequence[Tensor] | Tensor, dices: Sequence[Tensor] | Tensor
    ) -> dict[str, Tensor]:
        terms = {}
        for position, (class_loss, mask_loss, dice_loss) in enumerate(zip(classes, masks, dices, strict=True)):
            suffix = f"_{position - 1}" if position else ""  # the final layer comes first
            terms[f"class{suffix}"] = class_loss * self.class_weight
            terms[f"mask{suffix}"] = mask_loss * self.mask_weight
            terms[f"dice{suffix}"] = dice_loss * self.dice_weight
        return terms


def _mask_losses(layers: Sequence[MaskQueries], truth: MaskTruth, matches: MaskMatches) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of every layer, each [layers]: sums over matched pairs by the mean number of masks."""
    matched = [
        truth.rows_of(layer.mask_logits)[rows, queries]
        for layer, rows, queries in zip(layers, matches.rows, matches.queries, strict=True)
    ]
    rows = matches.rows.flatten()
    masks = truth.select(rows, matches.targets.flatten())
    valid = None if truth.valid is None else truth.valid[rows]
    focal, dice = mask_terms(torch.cat(matched), masks, valid)
    shape = matches.rows.shape
    return focal.view(shape).sum(1) / matches.num_masks, dice.view(shape).sum(1) / matches.num_masks


def _at_least_float32(answer: MaskQueries) -> MaskQueries:
    return MaskQueries(at_least_single(answer.class_logits), at_least_single(answer.mask_logits))
