"""Which query answers for which box: costs on the device, the assignment on the host, one transfer a batch.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.1;
github.com/facebookresearch/detr, models/matcher.py. The focal cost of classes: Zhu et al., "Deformable DETR" (2021),
section 4.1; github.com/fundamentalvision/Deformable-DETR, models/matcher.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.contract.predictions import BoxQueries
from backbonekit.ops.assignment import matched_pairs
from backbonekit.ops.box_truth import BoxTruth
from backbonekit.ops.boxes import corners_of, overlaps


@dataclass(frozen=True, slots=True)
class MatchingCosts:
    """How much each difference between a prediction and a box counts when they are matched.

    `is_sigmoid`: the class costs as focal loss would with `alpha` and `gamma`; otherwise the probability counts.
    """

    class_cost: float
    box_cost: float
    giou_cost: float
    is_sigmoid: bool
    alpha: float = 0.25
    gamma: float = 2.0


@dataclass(slots=True)
class BoxMatches:
    """Matched pairs, equally many in every layer: for a row min(number of queries, number of boxes), by row, then by
    query. int64 [layers, pairs]: `rows` of the truth, `queries`, `targets`."""

    rows: Tensor
    queries: Tensor
    targets: Tensor

    @property
    def layer_index(self) -> Tensor:
        """int64 [layers, pairs], to index tensors of [layers, rows, queries, ...] with."""
        return torch.arange(len(self.rows), device=self.rows.device)[:, None].expand_as(self.rows)


@torch.no_grad()
def match_boxes(layers: Sequence[BoxQueries], truth: BoxTruth, *, num_classes: int, costs: MatchingCosts) -> BoxMatches:
    """For every layer and image the pairs of least cost. The layers must have equally many queries.

    Raises ContractError for a label that is no class.
    """
    in_range = (truth.labels >= 0) & (truth.labels < num_classes)
    labels = truth.labels.clamp(0, num_classes - 1)
    pairwise = [
        pairwise_costs(truth.rows_of(layer.class_logits), truth.rows_of(layer.boxes_cxcywh), labels, truth, costs)
        for layer in layers
    ]
    rows, queries, targets = matched_pairs(
        torch.stack(pairwise), truth.present, in_range, truth.counts, num_classes, True
    )
    return BoxMatches(rows, queries, targets)


def pairwise_costs(
    class_logits: Float[Tensor, "rows queries columns"],
    boxes_cxcywh: Float[Tensor, "rows queries 4"],
    labels: Int64[Tensor, "rows targets"],
    truth: BoxTruth,
    costs: MatchingCosts,
) -> Float[Tensor, "rows queries targets"]:
    """What it would cost that a query answers for a box."""
    columns = labels[:, None, :].expand(-1, class_logits.shape[1], -1)
    if costs.is_sigmoid:
        class_cost = _focal_cost(class_logits.gather(2, columns).sigmoid(), costs.alpha, costs.gamma)
    else:
        class_cost = -class_logits.softmax(-1).gather(2, columns)
    box_cost = torch.cdist(boxes_cxcywh, truth.boxes_cxcywh, p=1)
    _, giou = overlaps(corners_of(boxes_cxcywh)[:, :, None], corners_of(truth.boxes_cxcywh)[:, None])
    return costs.box_cost * box_cost + costs.class_cost * class_cost - costs.giou_cost * giou


def _focal_cost(scores: Tensor, alpha: float, gamma: float) -> Tensor:
    """What the focal loss of a class changes by when it becomes the true one."""
    tiny = 1e-8  # the reference's, against the logarithm of zero
    as_true = alpha * (1 - scores) ** gamma * -(scores + tiny).log()
    as_false = (1 - alpha) * scores**gamma * -(1 - scores + tiny).log()
    return as_true - as_false
