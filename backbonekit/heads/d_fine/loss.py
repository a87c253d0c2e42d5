"""D-FINE's loss: classes, boxes, and the distributions of their edges."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.heads.d_fine.loss_terms import distillation_term, edge_term
from backbonekit.losses.assigned_boxes import (
    AssignedBoxes,
    assigned,
    denoising_groups,
    denoising_index,
    denoising_layers,
    matched_index,
    most_matched,
    single,
    stack,
)
from backbonekit.losses.box_matching import MatchingCosts, match_boxes
from backbonekit.losses.box_terms import varifocal_term
from backbonekit.losses.distributed import mean_over_processes
from backbonekit.losses.zero import zero_of
from backbonekit.ops.box_truth import BoxTruth, read_boxes
from backbonekit.ops.edge_distributions import bin_distances

Exponent = Annotated[float, Range(0.0, 10.0)]
EdgeScale = Annotated[float, Range(0.01, 1_000.0)]
Named = Sequence[tuple[str, BoxQueries]]


class EdgeBoxSetCriterion(nn.Module):
    """Varifocal loss of the classes, L1 and generalized IoU of the boxes, focal loss of their edges' distributions, and
    what earlier layers learn from the last one's distributions.

    Terms: `class`, `box`, `giou`; of answers with distributions `edge`, and of those before the last `distillation`;
    for every auxiliary answer with `_0`, `_1`, ... after the name, for proposals with `_proposals`, for answers to
    disturbed copies of the truth with `_denoising_0`, ..., by the same weights. Reads `labels` and `boxes`; an image
    without these keys is left out. Boxes are compared relative to their image without its padding, and cut to it.

    `num_classes`: without "no object". `class_weight`, `box_weight`, `giou_weight`, `edge_weight`,
    `distillation_weight`: of the terms. `class_cost`, `box_cost`, `giou_cost`: of the same in the matching. `alpha`,
    `gamma`: weight and exponent of wrong classes. `matching_alpha`, `matching_gamma`: of the focal cost in the
    matching. `matching`: for boxes and edges, `union` gives every query the box that most layers matched it with, so
    that all layers work on the same one, as the paper has it; `layer` what its own layer matched it with. `edge_scale`,
    `edge_reach`: those of the head.

    Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024),
    section 4; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_criterion.py.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 1.0,
        box_weight: Weight = 5.0,
        giou_weight: Weight = 2.0,
        edge_weight: Weight = 0.15,
        distillation_weight: Weight = 1.5,
        class_cost: Weight = 2.0,
        box_cost: Weight = 5.0,
        giou_cost: Weight = 2.0,
        alpha: Probability = 0.75,
        gamma: Exponent = 2.0,
        matching_alpha: Probability = 0.25,
        matching_gamma: Exponent = 2.0,
        matching: Literal["union", "layer"] = "union",
        edge_scale: EdgeScale = 4.0,
        edge_reach: EdgeScale = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = {
            "class": class_weight,
            "box": box_weight,
            "giou": giou_weight,
            "edge": edge_weight,
            "distillation": distillation_weight,
        }
        self.costs = MatchingCosts(class_cost, box_cost, giou_cost, True, matching_alpha, matching_gamma)
        self.alpha = alpha
        self.gamma = gamma
        self.matching = matching
        self.edge_scale = edge_scale
        self.edge_reach = edge_reach

    def forward(self, prediction: BoxQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Scalars by name. One transfer to the host, for the matching of all images and layers."""
        self._check(prediction, targets)
        device = prediction.class_logits.device
        # Overlaps of small boxes are differences of near numbers: too coarse in 16 bits.
        with torch.autocast(device.type, enabled=False):
            named, disturbed = _named(prediction), denoising_layers(prediction.denoising)
            truth = read_boxes(targets, canvas, like=prediction.boxes_cxcywh)
            count = torch.zeros((), device=device) if truth is None else truth.present.sum()
            num_boxes = mean_over_processes(count)
            if truth is None:
                # The other processes count the union too.
                if self.matching == "union":
                    mean_over_processes(count)
                return self._zeros(named) | self._zeros(disturbed)
            terms = self._matched_terms(_cut(named), truth, num_boxes)
            if prediction.denoising is not None:
                terms |= self._denoising_terms(prediction.denoising, _cut(disturbed), truth, num_boxes)
            return terms

    def _matched_terms(self, named: Named, truth: BoxTruth, num_boxes: Tensor) -> dict[str, Tensor]:
        layers = [layer for _, layer in named]
        matches = match_boxes(layers, truth, num_classes=self.num_classes, costs=self.costs)
        rows, queries = len(truth.counts), layers[0].class_logits.shape[1]
        index = matched_index(matches, rows, queries)
        by_layer = assigned(index, truth, self.num_classes)
        if self.matching == "layer":
            return self._terms(named, truth, by_layer, by_layer, num_boxes, num_boxes)
        union = most_matched(index, truth.labels.shape[1])
        num_union = mean_over_processes((union >= 0).sum())
        shared = assigned(union.expand(len(layers), -1, -1), truth, self.num_classes)
        return self._terms(named, truth, by_layer, shared, num_boxes, num_union)

    def _denoising_terms(
        self, denoising: DenoisingQueries, named: Named, truth: BoxTruth, num_boxes: Tensor
    ) -> dict[str, Tensor]:
        index = denoising_index(denoising, truth).expand(len(named), -1, -1)
        wanted = assigned(index, truth, self.num_classes)
        num_copies = num_boxes * denoising_groups(denoising, truth).clamp(min=1)
        return self._terms(named, truth, wanted, wanted, num_copies, num_copies)

    def _terms(
        self,
        named: Named,
        truth: BoxTruth,
        for_classes: AssignedBoxes,
        for_boxes: AssignedBoxes,
        num_classified: Tensor,
        num_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """`for_classes`, `for_boxes`: what queries are to give. `num_classified`, `num_boxes`: what their sums are
        divided by."""
        logits, boxes = stack([layer for _, layer in named], truth)
        classes = varifocal_term(
            logits, for_classes.labels, for_classes.quality(boxes), alpha=self.alpha, gamma=self.gamma
        )
        distances, giou = for_boxes.box_sums(boxes)
        suffixes = [suffix for suffix, _ in named]
        terms = self._weighted(
            {"class": classes / num_classified, "box": distances / num_boxes, "giou": giou / num_boxes}, suffixes
        )
        fine = [position for position, (_, layer) in enumerate(named) if layer.edge_logits is not None]
        edges = torch.stack([truth.rows_of(named[position][1].edge_logits) for position in fine])  # type: ignore[arg-type]
        references = torch.stack([truth.rows_of(named[position][1].reference_boxes) for position in fine])  # type: ignore[arg-type]
        wanted = for_boxes.boxes_cxcywh[fine]
        quality = for_boxes.quality(boxes)[fine]
        scale, reach = edges.new_tensor([self.edge_scale]), edges.new_tensor([self.edge_reach])
        distances = bin_distances(edges.shape[-1] - 1, reach=reach, scale=scale)
        each = edge_term(edges, references, wanted, quality, distances=distances, scale=scale)
        own = AssignedBoxes(for_boxes.labels[fine], wanted, for_boxes.is_matched[fine])
        terms |= self._weighted({"edge": own.sum_matched(each) / num_boxes}, [suffixes[position] for position in fine])
        last, earlier = _last_and_earlier(fine, suffixes)
        students = [fine.index(position) for position in earlier]
        if students:
            learned = distillation_term(
                edges[students], edges[fine.index(last)], logits[last], quality[students], own.is_matched[students]
            )
            terms |= self._weighted({"distillation": learned}, [suffixes[position] for position in earlier])
        return terms

    def _weighted(self, found: Mapping[str, Tensor], suffixes: Sequence[str]) -> dict[str, Tensor]:
        return {
            f"{name}{suffix}": term * self.weights[name]
            for name, by_layer in found.items()
            for suffix, term in zip(suffixes, by_layer, strict=True)
        }

    def _zeros(self, named: Named) -> dict[str, Tensor]:
        suffixes = [suffix for suffix, _ in named]
        fine = [position for position, (_, layer) in enumerate(named) if layer.edge_logits is not None]
        earlier = _last_and_earlier(fine, suffixes)[1] if fine else []
        terms = {f"{name}{suffix}": zero_of(layer) for suffix, layer in named for name in ("class", "box", "giou")}
        terms |= {f"edge{suffixes[position]}": zero_of(named[position][1]) for position in fine}
        return terms | {f"distillation{suffixes[position]}": zero_of(named[position][1]) for position in earlier}

    def _check(self, prediction: BoxQueries, targets: Targets) -> None:
        batch, _, columns = prediction.class_logits.shape
        if len(targets) != batch:
            raise ContractError(f"{len(targets)} targets for {batch} images; give one dict an image.")
        if columns != self.num_classes:
            raise ContractError(
                f"criterion edge_box_set: num_classes={self.num_classes} and the prediction has {columns} columns of "
                f"class logits; it requires one a class and none for no object."
            )
        if prediction.edge_logits is None:
            raise ContractError(
                "criterion edge_box_set wants distributions of edges, which the prediction does not have. "
                "The fix: head.criterion.name=box_set."
            )


def _named(prediction: BoxQueries) -> list[tuple[str, BoxQueries]]:
    """The final answer, the auxiliary ones and the proposals, by the suffix of their terms."""
    named = [("", single(prediction))]
    named += [(f"_{position}", single(layer)) for position, layer in enumerate(prediction.auxiliary or ())]
    return named if prediction.proposals is None else [*named, ("_proposals", single(prediction.proposals))]


def _cut(named: Named) -> list[tuple[str, BoxQueries]]:
    """Centres and sides in [0, 1]: edges that cross would make an area of their own."""
    return [
        (
            suffix,
            BoxQueries(
                layer.class_logits,
                layer.boxes_cxcywh.clamp(0, 1),
                edge_logits=layer.edge_logits,
                reference_boxes=layer.reference_boxes,
            ),
        )
        for suffix, layer in named
    ]


def _last_and_earlier(fine: Sequence[int], suffixes: Sequence[str]) -> tuple[int, list[int]]:
    """Of the positions with distributions that of the last layer, and those of the layers before it. The final answer
    comes first among matched ones; of disturbed ones the last comes last."""
    last = fine[0] if suffixes[fine[0]] == "" else fine[-1]
    return last, [position for position in fine if position != last]
