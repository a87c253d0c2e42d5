"""What every loss on a set of masks does: read the truth, match, judge the classes and the matched masks.

Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
github.com/facebookresearch/MaskFormer, mask_former/modeling/criterion.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Range
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.losses.distributed import mean_over_processes
from backbonekit.losses.mask_matching import MaskMatches, match_masks
from backbonekit.losses.mask_truth import MaskTruth, read_masks
from backbonekit.losses.zero import zero_of
from backbonekit.ops.precision import at_least_single

IgnoreLabel = Annotated[int, Range(-1, 100_000)]


@runtime_checkable
class MaskComparison(Protocol):
    """How far predicted masks are from true ones: a loss that counts pixels, and a dice loss."""

    def costs(self, layers: Sequence[MaskQueries], truth: MaskTruth, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Of every query with every mask, each [layers, rows, queries, masks]. Called without gradients."""
        ...

    def losses(self, logits: Tensor, truth: MaskTruth, matches: MaskMatches, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Of every matched pair, each [pairs]. `logits`: [pairs, height, width], layer after layer."""
        ...


@dataclass(frozen=True, slots=True)
class MaskWeights:
    """Of the terms; `no_object` of queries without a mask against others; `class_cost` of the class in the matching."""

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
    """Scalars by name, of the prediction and its auxiliary ones. Raises ContractError for wrong targets."""
    batch, device = prediction.class_logits.shape[0], prediction.class_logits.device
    if len(targets) != batch:
        raise ContractError(f"{len(targets)} targets for {batch} images; give one dict an image.")
    # Losses are sums over many pixels: too coarse in 16 bits.
    with torch.autocast(device.type, enabled=False):
        layers = [_at_least_float32(layer) for layer in (prediction, *(prediction.auxiliary or ()))]
        truth = read_masks(targets, canvas, num_classes=num_classes, ignore_label=ignore_label, device=device)
        if truth is None:
            mean_over_processes(torch.zeros((), device=device))
            zeros = [zero_of(layer) for layer in layers]
            return _named(zeros, zeros, zeros, weights)
        with torch.no_grad():
            mask_costs, dice_costs = comparison.costs(layers, truth, canvas)
            costs = weights.mask * mask_costs + weights.dice * dice_costs
        matches = match_masks(layers, truth, costs, num_classes=num_classes, class_weight=weights.class_cost)
        logits = [
            truth.rows_of(layer.mask_logits)[rows, queries]
            for layer, rows, queries in zip(layers, matches.rows, matches.queries, strict=True)
        ]
        masks, dices = comparison.losses(torch.cat(logits), truth, matches, canvas)
        shape = matches.rows.shape
        return _named(
            _class_losses(layers, truth, matches, num_classes, weights.no_object),
            masks.view(shape).sum(1) / matches.num_masks,
            dices.view(shape).sum(1) / matches.num_masks,
            weights,
        )


def _class_losses(
    layers: Sequence[MaskQueries], truth: MaskTruth, matches: MaskMatches, num_classes: int, no_object_weight: float
) -> Tensor:
    """Weighted cross-entropy of every layer, [layers]."""
    logits = torch.stack([truth.rows_of(layer.class_logits) for layer in layers])
    labels = torch.full(logits.shape[:-1], num_classes, device=logits.device)
    layer_index = torch.arange(len(layers), device=logits.device)[:, None].expand_as(matches.rows)
    labels[layer_index, matches.rows, matches.queries] = truth.labels[matches.rows, matches.targets]
    losses = functional.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view_as(labels)
    weights = torch.where(labels == num_classes, no_object_weight, 1.0).to(losses.dtype)
    # At least something: with a no_object_weight of 0 a batch without masks weighs nothing.
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
    return MaskQueries(at_least_single(prediction.class_logits), at_least_single(prediction.mask_logits))
