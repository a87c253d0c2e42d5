"""Hungarian matching of mask queries with ground-truth masks.

Costs are computed on the device, the assignment on the host, with one transfer for a batch.

Source: Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation" (2021), section 3.2;
github.com/facebookresearch/MaskFormer, mask_former/modeling/matcher.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.contract.predictions import MaskQueries
from backbonekit.losses.mask_targets import MaskTargets
from backbonekit.losses.mask_terms import ALPHA
from backbonekit.losses.reduction import all_reduce_mean
from backbonekit.ops.assignment import matched_pairs

PixelLoss = Literal["focal", "cross_entropy"]


@dataclass(slots=True)
class MaskMatches:
    """Matched pairs, equally many in every layer. int64 [layers, pairs]: `rows` of the targets, `queries`, `targets`.
    `num_masks`: scalar, the mean number of masks of a process, matched or not, at least 1."""

    rows: Tensor
    queries: Tensor
    targets: Tensor
    num_masks: Tensor


@torch.no_grad()
def match_masks(
    layers: Sequence[MaskQueries],
    mask_targets: MaskTargets,
    costs: Float[Tensor, "layers rows queries masks"],
    *,
    num_classes: int,
    class_weight: float = 1.0,
) -> MaskMatches:
    """The pairs of least total cost for every layer and image: min(number of queries, number of masks) of them.

    `costs`: of the masks, weighted; the probability of the class, times `class_weight`, is subtracted. Raises
    ContractError for a label that is not a class.
    """
    in_range = (mask_targets.labels >= 0) & (mask_targets.labels < num_classes)
    labels = mask_targets.labels.clamp(0, num_classes - 1)[:, None, :]
    # scores: [layers, rows, queries, classes + 1]
    scores = torch.stack([mask_targets.select_images(layer.class_logits) for layer in layers]).softmax(-1)
    class_scores = scores.gather(3, labels.expand(*scores.shape[:3], -1))
    rows, queries, columns = matched_pairs(
        costs - class_weight * class_scores,
        mask_targets.present,
        in_range,
        mask_targets.counts,
        num_classes,
        mask_targets.is_complete,
    )
    return MaskMatches(rows, queries, columns, all_reduce_mean(mask_targets.present.sum()))


def pairwise_mask_costs(
    logits: Float[Tensor, "rows queries pixels"],
    masks: Bool[Tensor, "rows masks pixels"] | Float[Tensor, "rows masks pixels"],
    valid: Bool[Tensor, "rows pixels"] | None,
    *,
    kind: PixelLoss = "focal",
) -> tuple[Float[Tensor, "rows queries masks"], Float[Tensor, "rows queries masks"]]:
    """Focal loss or cross-entropy, and dice loss, of every query with every mask, over the valid pixels.

    Each is a sum over pixels of a factor of the query times the mask or its complement, so one matrix product computes
    all.
    `masks`: in [0, 1].
    """
    probabilities = logits.sigmoid()
    # negative: the loss of a background pixel; difference: the loss of a mask pixel minus that.
    if kind == "focal":
        cross_entropy = -functional.logsigmoid(logits)  # of a mask pixel; of a background pixel it is this + logit
        negative = (1 - ALPHA) * probabilities.square() * (cross_entropy + logits)
        difference = ALPHA * (1 - probabilities).square() * cross_entropy - negative
    else:
        negative, difference = -functional.logsigmoid(-logits), -logits
    weights = masks.to(logits.dtype)
    counts: Tensor | int = logits.shape[-1]
    if valid is not None:
        real = valid[:, None].to(logits.dtype)
        weights, negative, probabilities = weights * real, negative * real, probabilities * real
        counts = real.sum(-1, keepdim=True).clamp(min=1)
    # products: [rows, 2 x queries, masks]
    products = torch.cat((difference, probabilities), dim=1) @ weights.transpose(1, 2)
    more, overlap = products.chunk(2, dim=1)
    pixelwise = (more + negative.sum(-1, keepdim=True)) / counts
    areas = probabilities.sum(-1, keepdim=True) + weights.sum(-1)[:, None, :]
    return pixelwise, 1 - (2 * overlap + 1) / (areas + 1)
