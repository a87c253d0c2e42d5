"""Which box every query should give, as tensors over all queries: for queries that need no matching, and for those that
several matchings were merged for. Other than with lists of pairs, no shape depends on how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.losses.box_matching import BoxMatches
from backbonekit.losses.box_terms import box_terms
from backbonekit.ops.box_truth import BoxTruth
from backbonekit.ops.boxes import corners_of, overlaps
from backbonekit.ops.precision import at_least_single


@dataclass(slots=True)
class AssignedBoxes:
    """`labels`: int64 [layers, rows, queries], the number of classes for a query without a box. `boxes_cxcywh`:
    [layers, rows, queries, 4], zeros for those. `is_matched`: bool [layers, rows, queries]."""

    labels: Tensor
    boxes_cxcywh: Tensor
    is_matched: Tensor

    def sum_matched(self, values: Float[Tensor, "layers rows queries"]) -> Float[Tensor, "layers"]:
        return values.where(self.is_matched, 0.0).flatten(1).sum(1)

    def box_sums(self, boxes_cxcywh: Float[Tensor, "layers rows queries 4"]) -> tuple[Tensor, Tensor]:
        """Sums over matched queries, [layers] each: L1 distance, and one less generalized intersection over union."""
        distances, giou = box_terms(boxes_cxcywh, self.boxes_cxcywh)
        return self.sum_matched(distances), self.sum_matched(giou)

    @torch.no_grad()
    def quality(self, boxes_cxcywh: Float[Tensor, "layers rows queries 4"]) -> Float[Tensor, "layers rows queries"]:
        """Intersection over union of every matched query with its box, 0 for the others."""
        iou, _ = overlaps(corners_of(boxes_cxcywh), corners_of(self.boxes_cxcywh))
        return iou.where(self.is_matched, 0.0)


def assigned(target_index: Int64[Tensor, "layers rows queries"], truth: BoxTruth, num_classes: int) -> AssignedBoxes:
    """`target_index`: the column of the truth that a query should give; -1 for none."""
    # One more column, of no object: a truth may have no column at all.
    labels = functional.pad(truth.labels, (0, 1), value=num_classes)
    boxes = functional.pad(truth.boxes_cxcywh, (0, 0, 0, 1))
    layers, none = target_index.shape[0], truth.labels.shape[1]
    is_matched = target_index >= 0
    index = target_index.where(is_matched, none)
    return AssignedBoxes(
        labels[None].expand(layers, -1, -1).gather(2, index),
        boxes[None].expand(layers, -1, -1, -1).gather(2, index[..., None].expand(-1, -1, -1, 4)),
        is_matched,
    )


def matched_index(matches: BoxMatches, rows: int, queries: int) -> Int64[Tensor, "layers rows queries"]:
    """The matched pairs as a column of the truth for every query; -1 for none."""
    index = matches.targets.new_full((len(matches.rows), rows, queries), -1)
    index[matches.layer_index, matches.rows, matches.queries] = matches.targets
    return index


def most_matched(index: Int64[Tensor, "layers rows queries"], columns: int) -> Int64[Tensor, "1 rows queries"]:
    """For every query the box that most layers matched it with; -1 where none did. `columns`: of the truth."""
    _, rows, queries = index.shape
    votes = torch.zeros(rows, queries, columns + 1, device=index.device)
    each = index.where(index >= 0, columns).permute(1, 2, 0)
    votes.scatter_add_(2, each, torch.ones_like(each, dtype=votes.dtype))
    votes[..., columns] = 0.5  # less than a single layer
    best = votes.argmax(-1)
    return best.where(best < columns, -1)[None]


def denoising_index(denoising: DenoisingQueries, truth: BoxTruth) -> Int64[Tensor, "1 rows queries"]:
    """Which box a disturbed query should find again; -1 for those made to be refused."""
    is_positive, index = truth.rows_of(denoising.is_positive), truth.rows_of(denoising.target_index)
    return index.where(is_positive, -1)[None]


def denoising_groups(denoising: DenoisingQueries, truth: BoxTruth) -> Float[Tensor, ""]:
    """How many positive copies of every box there are, by which a sum over them is too large."""
    copies = (denoising_index(denoising, truth) >= 0).sum()
    return copies / truth.present.sum().clamp(min=1)


def denoising_layers(denoising: DenoisingQueries | None) -> list[tuple[str, BoxQueries]]:
    """At least in float32, by the suffix of their terms; empty without any."""
    layers: Sequence[BoxQueries] = () if denoising is None else denoising.layers
    return [(f"_denoising_{position}", single(layer)) for position, layer in enumerate(layers)]


def single(layer: BoxQueries) -> BoxQueries:
    """A prediction without those beside it, at least in float32."""
    edges, references = layer.edge_logits, layer.reference_boxes
    return BoxQueries(
        at_least_single(layer.class_logits),
        at_least_single(layer.boxes_cxcywh),
        edge_logits=None if edges is None else at_least_single(edges),
        reference_boxes=None if references is None else at_least_single(references),
    )


def stack(layers: Sequence[BoxQueries], truth: BoxTruth) -> tuple[Tensor, Tensor]:
    """Class logits and boxes of several layers, [layers, rows, queries, ...]."""
    return (
        torch.stack([truth.rows_of(layer.class_logits) for layer in layers]),
        torch.stack([truth.rows_of(layer.boxes_cxcywh) for layer in layers]),
    )
