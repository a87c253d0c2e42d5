"""The steps of every loss of a set of masks: read the targets, match, classification loss, losses of matched masks.

Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.losses.mask_matching import MaskMatches, match_masks
from backbonekit.losses.mask_targets import MaskTargets, read_mask_targets
from backbonekit.losses.reduction import all_reduce_mean, zero_loss
from backbonekit.ops.numerics import upcast_to_float32


@runtime_checkable
class MaskComparison(Protocol):
    """Compares predicted with target masks: a pixel-wise loss and a dice loss."""

    def costs(self, layers: Sequence[MaskQueries], targets: MaskTargets, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Both losses of every query with every mask, each [layers, rows, queries, masks]. Called without gradients."""
        ...

    def losses(
        self, logits: Tensor, targets: MaskTargets, matches: MaskMatches, canvas: Canvas
    ) -> tuple[Tensor, Tensor]:
        """Both losses of every matched pair, each [pairs]. `logits`: [pairs, height, width], layer after layer."""
        ...


@dataclass(frozen=True, slots=True)
class MaskWeights:
    """Weights of the terms; `no_object`: of queries without a mask; `class_cost`: of the class in the matching."""

    classes: float
    mask: float
    dice: float
    no_object: float
    class_cost: float


def mask_set_losses(
    prediction: MaskQueries,
    targets: Targets,
    canvas: Canvas,
    *,
    comparison: MaskComparison,
    num_classes: int,
    weights: MaskWeights,
    ignore_label: int,
) -> dict[str, Tensor]:
    """Returns scalars by name, of the prediction and its auxiliary ones. Raises ContractError for invalid targets."""
    batch, device = prediction.class_logits.shape[0], prediction.class_logits.device
    if len(targets) != batch:
        raise ContractError(f"{len(targets)} targets for {batch} images; give one dict for each image.")
    # Losses are sums over many pixels: too coarse in 16 bits.
    with torch.autocast(device.type, enabled=False):
        layers = [_at_least_float32(layer) for layer in (prediction, *(prediction.auxiliary or ()))]
        mask_targets = read_mask_targets(
            targets, canvas, num_classes=num_classes, ignore_label=ignore_label, device=device
        )
        if mask_targets is None:
            all_reduce_mean(torch.zeros((), device=device))
            zeros = [zero_loss(layer) for layer in layers]
            return _named(zeros, zeros, zeros, weights)
        with torch.no_grad():
            mask_costs, dice_costs = comparison.costs(layers, mask_targets, canvas)
            costs = weights.mask * mask_costs + weights.dice * dice_costs
        matches = match_masks(layers, mask_targets, costs, num_classes=num_classes, class_weight=weights.class_cost)
        logits = [
            mask_targets.select_images(layer.mask_logits)[rows, queries]
            for layer, rows, queries in zip(layers, matches.rows, matches.queries, strict=True)
        ]
        masks, dices = comparison.losses(torch.cat(logits), mask_targets, matches, canvas)
        shape = matches.rows.shape
        return _named(
            _class_losses(layers, mask_targets, matches, num_classes, weights.no_object),
            masks.view(shape).sum(1) / matches.num_masks,
            dices.view(shape).sum(1) / matches.num_masks,
            weights,
        )


def _class_losses(
    layers: Sequence[MaskQueries],
    mask_targets: MaskTargets,
    matches: MaskMatches,
    num_classes: int,
    no_object_weight: float,
) -> Tensor:
    """Weighted cross-entropy of every layer, [layers]."""
    logits = torch.stack([mask_targets.select_images(layer.class_logits) for layer in layers])
    labels = torch.full(logits.shape[:-1], num_classes, device=logits.device)
    layer_index = torch.arange(len(layers), device=logits.device)[:, None].expand_as(matches.rows)
    labels[layer_index, matches.rows, matches.queries] = mask_targets.labels[matches.rows, matches.targets]
    losses = functional.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view_as(labels)
    weights = torch.where(labels == num_classes, no_object_weight, 1.0).to(losses.dtype)
    # Above 0: with a no_object_weight of 0, all weights of a batch without masks are 0.
    return (losses * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1e-6)


def _named(
    classes: Sequence[Tensor] | Tensor,
    masks: Sequence[Tensor] | Tensor,
    dices: Sequence[Tensor] | Tensor,
    weights: MaskWeights,
) -> dict[str, Tensor]:
    terms = {}
    for position, (class_loss, mask_loss, dice_loss) in enumerate(zip(classes, masks, dices, strict=True)):
        suffix = f"_{position - 1}" if position else ""  # the final layer comes first
        terms[f"class{suffix}"] = class_loss * weights.classes
        terms[f"mask{suffix}"] = mask_loss * weights.mask
        terms[f"dice{suffix}"] = dice_loss * weights.dice
    return terms


def _at_least_float32(prediction: MaskQueries) -> MaskQueries:
    return MaskQueries(upcast_to_float32(prediction.class_logits), upcast_to_float32(prediction.mask_logits))
