"""Hungarian matching of box queries with ground-truth boxes, and the target that it assigns to every query.

Costs are computed on the device, the assignment on the host, with one transfer for a batch.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.1;
github.com/facebookresearch/detr, models/matcher.py. The focal cost of classes: Zhu et al., "Deformable DETR" (2021),
section 4.1; github.com/fundamentalvision/Deformable-DETR, models/matcher.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.losses.box_terms import box_terms
from backbonekit.ops.assignment import matched_pairs
from backbonekit.ops.boxes import cxcywh_to_xyxy, iou_and_giou
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import BoxTargets


@dataclass(frozen=True, slots=True)
class MatchingCosts:
    """Weights of the matching cost between a prediction and a target.

    `is_sigmoid`: the class cost is that of focal loss with `alpha` and `gamma`; otherwise the negative probability.
    """

    class_cost: float
    box_cost: float
    giou_cost: float
    is_sigmoid: bool
    alpha: float = 0.25
    gamma: float = 2.0


@dataclass(slots=True)
class BoxMatches:
    """Matched pairs, equally many in every layer: min(number of queries, number of boxes) for a row, by row, then by
    query. int64 [layers, pairs]: `rows` of the targets, `queries`, `targets`."""

    rows: Tensor
    queries: Tensor
    targets: Tensor

    @property
    def layer_index(self) -> Tensor:
        """int64 [layers, pairs], to index tensors of [layers, rows, queries, ...] with."""
        return torch.arange(len(self.rows), device=self.rows.device)[:, None].expand_as(self.rows)


@torch.no_grad()
def match_boxes(
    layers: Sequence[BoxQueries], box_targets: BoxTargets, *, num_classes: int, costs: MatchingCosts
) -> BoxMatches:
    """The pairs of least total cost for every layer and image. The layers must have equally many queries.

    Raises ContractError for a label that is not a class.
    """
    in_range = (box_targets.labels >= 0) & (box_targets.labels < num_classes)
    labels = box_targets.labels.clamp(0, num_classes - 1)
    pairwise = [
        pairwise_costs(
            box_targets.select_images(layer.class_logits),
            box_targets.select_images(layer.boxes_cxcywh),
            labels,
            box_targets,
            costs,
        )
        for layer in layers
    ]
    rows, queries, targets = matched_pairs(
        torch.stack(pairwise), box_targets.present, in_range, box_targets.counts, num_classes, True
    )
    return BoxMatches(rows, queries, targets)


def pairwise_costs(
    class_logits: Float[Tensor, "rows queries columns"],
    boxes_cxcywh: Float[Tensor, "rows queries 4"],
    labels: Int64[Tensor, "rows targets"],
    box_targets: BoxTargets,
    costs: MatchingCosts,
) -> Float[Tensor, "rows queries targets"]:
    """The cost of matching each query with each target."""
    columns = labels[:, None, :].expand(-1, class_logits.shape[1], -1)
    if costs.is_sigmoid:
        class_cost = _focal_cost(class_logits.gather(2, columns).sigmoid(), costs.alpha, costs.gamma)
    else:
        class_cost = -class_logits.softmax(-1).gather(2, columns)
    box_cost = torch.cdist(boxes_cxcywh, box_targets.boxes_cxcywh, p=1)
    _, giou = iou_and_giou(cxcywh_to_xyxy(boxes_cxcywh)[:, :, None], cxcywh_to_xyxy(box_targets.boxes_cxcywh)[:, None])
    return costs.box_cost * box_cost + costs.class_cost * class_cost - costs.giou_cost * giou


def _focal_cost(scores: Tensor, alpha: float, gamma: float) -> Tensor:
    """The difference between the focal loss of a class as positive and as negative."""
    tiny = 1e-8  # the reference's, against the logarithm of zero
    positive = alpha * (1 - scores) ** gamma * -(scores + tiny).log()
    negative = (1 - alpha) * scores**gamma * -(1 - scores + tiny).log()
    return positive - negative


@dataclass(slots=True)
class AssignedBoxes:
    """The target of every query, as tensors over all queries: for denoising queries, which are not matched, and for
    matchings that were merged. Unlike with lists of pairs, no shape depends on the number of matches.

    `labels`: int64 [layers, rows, queries], the number of classes for a query without a target. `boxes_cxcywh`:
    [layers, rows, queries, 4], zeros for those. `is_matched`: bool [layers, rows, queries].
    """

    labels: Tensor
    boxes_cxcywh: Tensor
    is_matched: Tensor

    def sum_matched(self, values: Float[Tensor, "layers rows queries"]) -> Float[Tensor, "layers"]:
        """Sums of values over matched queries."""
        return values.where(self.is_matched, 0.0).flatten(1).sum(1)

    def box_sums(self, boxes_cxcywh: Float[Tensor, "layers rows queries 4"]) -> tuple[Tensor, Tensor]:
        """Sums over matched queries, [layers] each: L1 distance, and 1 - GIoU."""
        distances, giou = box_terms(boxes_cxcywh, self.boxes_cxcywh)
        return self.sum_matched(distances), self.sum_matched(giou)

    def quality(self, boxes_cxcywh: Float[Tensor, "layers rows queries 4"]) -> Float[Tensor, "layers rows queries"]:
        """IoU of every matched query with its target, without gradient; 0 for the others."""
        # A block: torch.compile does not trace a decorated method of an object that it built itself.
        with torch.no_grad():
            iou, _ = iou_and_giou(cxcywh_to_xyxy(boxes_cxcywh), cxcywh_to_xyxy(self.boxes_cxcywh))
            return iou.where(self.is_matched, 0.0)


def assigned(
    target_index: Int64[Tensor, "layers rows queries"], box_targets: BoxTargets, num_classes: int
) -> AssignedBoxes:
    """`target_index`: the column of the target of each query; -1 for none."""
    # One more column, of "no object": the targets may have no column at all.
    labels = functional.pad(box_targets.labels, (0, 1), value=num_classes)
    boxes = functional.pad(box_targets.boxes_cxcywh, (0, 0, 0, 1))
    layers, none = target_index.shape[0], box_targets.labels.shape[1]
    is_matched = target_index >= 0
    index = target_index.where(is_matched, none)
    return AssignedBoxes(
        labels[None].expand(layers, -1, -1).gather(2, index),
        boxes[None].expand(layers, -1, -1, -1).gather(2, index[..., None].expand(-1, -1, -1, 4)),
        is_matched,
    )


def matched_index(matches: BoxMatches, rows: int, queries: int) -> Int64[Tensor, "layers rows queries"]:
    """The column of the target that each query is matched with; -1 for none."""
    index = matches.targets.new_full((len(matches.rows), rows, queries), -1)
    index[matches.layer_index, matches.rows, matches.queries] = matches.targets
    return index


def most_matched(index: Int64[Tensor, "layers rows queries"], columns: int) -> Int64[Tensor, "1 rows queries"]:
    """The target that most layers matched each query with; -1 where none did. `columns`: of the targets."""
    _, rows, queries = index.shape
    votes = torch.zeros(rows, queries, columns + 1, device=index.device)
    each = index.where(index >= 0, columns).permute(1, 2, 0)
    votes.scatter_add_(2, each, torch.ones_like(each, dtype=votes.dtype))
    votes[..., columns] = 0.5  # less than a single layer
    best = votes.argmax(-1)
    return best.where(best < columns, -1)[None]


def denoising_index(denoising: DenoisingQueries, box_targets: BoxTargets) -> Int64[Tensor, "1 rows queries"]:
    """The target that each denoising query reconstructs; -1 for negative ones."""
    is_positive = box_targets.select_images(denoising.is_positive)
    return box_targets.select_images(denoising.target_index).where(is_positive, -1)[None]


def denoising_groups(denoising: DenoisingQueries, box_targets: BoxTargets) -> Float[Tensor, ""]:
    """The number of positive copies of each target, by which sums over denoising queries are divided."""
    copies = (denoising_index(denoising, box_targets) >= 0).sum()
    return copies / box_targets.present.sum().clamp(min=1)


def denoising_layers(denoising: DenoisingQueries | None) -> list[tuple[str, BoxQueries]]:
    """The layers of denoising queries with the suffix of their terms, in at least float32; empty without any."""
    layers: Sequence[BoxQueries] = () if denoising is None else denoising.layers
    return [(f"_denoising_{position}", without_auxiliary(layer)) for position, layer in enumerate(layers)]


def without_auxiliary(layer: BoxQueries) -> BoxQueries:
    """The prediction of a single layer, in at least float32."""
    edges, references = layer.edge_logits, layer.reference_boxes
    return BoxQueries(
        upcast_to_float32(layer.class_logits),
        upcast_to_float32(layer.boxes_cxcywh),
        edge_logits=None if edges is None else upcast_to_float32(edges),
        reference_boxes=None if references is None else upcast_to_float32(references),
    )


def stack(layers: Sequence[BoxQueries], box_targets: BoxTargets) -> tuple[Tensor, Tensor]:
    """Class logits and boxes of several layers, [layers, rows, queries, ...]."""
    return (
        torch.stack([box_targets.select_images(layer.class_logits) for layer in layers]),
        torch.stack([box_targets.select_images(layer.boxes_cxcywh) for layer in layers]),
    )
