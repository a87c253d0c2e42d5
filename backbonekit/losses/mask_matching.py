"""Which query answers for which mask: costs on the device, the assignment on the host, one transfer a batch.

Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
github.com/facebookresearch/MaskFormer, mask_former/modeling/matcher.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.answers import MaskQueries
from backbonekit.losses.mask_terms import ALPHA
from backbonekit.losses.mask_truth import MaskTruth
from backbonekit.losses.process_mean import mean_over_processes
from backbonekit.ops.assignment import matched_pairs


@dataclass(slots=True)
class MaskMatches:
    """Matched pairs, equally many in every layer. int64 [layers, pairs]: `rows` of the truth, `queries`, `targets`.
    `num_masks`: scalar, how many masks a process has on average, matched or not, at least 1."""

    rows: Tensor
    queries: Tensor
    targets: Tensor
    num_masks: Tensor


@torch.no_grad()
def match_masks(
    layers: Sequence[MaskQueries], truth: MaskTruth, *, num_classes: int, mask_weight: float, dice_weight: float
) -> MaskMatches:
    """For every layer and picture the pairs of least cost; there are min(number of queries, number of masks) of them.

    The class counts once, whatever its weight in the loss, as in the reference. Raises ContractError for a label that
    is no class.
    """
    size = (layers[0].mask_logits.shape[-2], layers[0].mask_logits.shape[-1])
    masks = truth.masks_at(size).flatten(2)
    valid = truth.valid_at(size)
    in_range = (truth.labels >= 0) & (truth.labels < num_classes)
    labels = truth.labels.clamp(0, num_classes - 1)[:, None, :]
    costs = []
    for layer in layers:
        scores = truth.rows_of(layer.class_logits).softmax(-1)
        class_cost = -scores.gather(2, labels.expand(-1, scores.shape[1], -1))
        mask_cost, dice_cost = pairwise_mask_costs(
            truth.rows_of(layer.mask_logits).flatten(2), masks, None if valid is None else valid.flatten(1)
        )
        costs.append(mask_weight * mask_cost + class_cost + dice_weight * dice_cost)
    rows, queries, columns = matched_pairs(
        torch.stack(costs), truth.present, in_range, truth.counts, num_classes, truth.is_complete
    )
    return MaskMatches(rows, queries, columns, mean_over_processes(truth.present.sum()))


def pairwise_mask_costs(
    logits: Float[Tensor, "rows queries pixels"],
    masks: Bool[Tensor, "rows masks pixels"],
    valid: Bool[Tensor, "rows pixels"] | None,
) -> tuple[Float[Tensor, "rows queries masks"], Float[Tensor, "rows queries masks"]]:
    """Focal and dice loss of every query with every mask, over the valid pixels.

    Both sum over pixels something of the query times the mask or its complement: one matrix product does for all.
    """
    probabilities = logits.sigmoid()
    cross_entropy = -functional.logsigmoid(logits)  # of a mask pixel; of a background pixel it is this + logit
    positive = ALPHA * (1 - probabilities).square() * cross_entropy
    negative = (1 - ALPHA) * probabilities.square() * (cross_entropy + logits)
    weights = masks.to(logits.dtype)
    counts: Tensor | int = logits.shape[-1]
    if valid is not None:
        real = valid[:, None].to(logits.dtype)
        weights, negative, probabilities = weights * real, negative * real, probabilities * real
        counts = real.sum(-1, keepdim=True).clamp(min=1)
    # products: [rows, 2 x queries, masks]
    products = torch.cat((positive - negative, probabilities), dim=1) @ weights.transpose(1, 2)
    difference, overlap = products.chunk(2, dim=1)
    focal = (difference + negative.sum(-1, keepdim=True)) / counts
    areas = probabilities.sum(-1, keepdim=True) + weights.sum(-1)[:, None, :]
    return focal, 1 - (2 * overlap + 1) / (areas + 1)
