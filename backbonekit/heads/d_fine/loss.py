"""D-FINE's loss: classes, boxes, and the distributions of box edges.

Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024), section
4, equations 4 to 6; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_criterion.py. The loss of two neighbouring bins:
Li et al., "Generalized Focal Loss" (2020), section 3.2.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.box_matching import (
    AssignedBoxes,
    MatchingCosts,
    assigned,
    denoising_groups,
    denoising_index,
    denoising_layers,
    match_boxes,
    matched_index,
    most_matched,
    stack,
    without_auxiliary,
)
from backbonekit.losses.box_terms import varifocal_term
from backbonekit.losses.reduction import all_reduce_mean, zero_loss
from backbonekit.ops.boxes import cxcywh_to_xyxy
from backbonekit.ops.edge_distributions import boxes_to_distances, neighbouring_bins, weighting_function
from backbonekit.ops.targets import BoxTargets, read_box_targets

TEMPERATURE = 5.0  # of both distributions in the distillation, which is multiplied by its square
Exponent = Annotated[float, Range(0.0, 10.0)]
EdgeScale = Annotated[float, Range(0.01, 1_000.0)]
Named = Sequence[tuple[str, BoxQueries]]


class EdgeBoxSetCriterion(nn.Module):
    """Varifocal loss of the classes, L1 distance and GIoU loss of the boxes, fine-grained localization (FGL) loss of
    the edges' distributions, and their self-distillation (GO-LSD) from the last layer to the earlier ones.

    Terms: `class`, `box`, `giou`; for layers with distributions `edge` (FGL), and for those before the last
    `distillation`. The same terms have a suffix `_0`, `_1`, ... for auxiliary predictions, `_proposals` for proposals,
    and `_denoising_0`, ... for denoising queries, with the same weights. Reads `labels` and `boxes`; an image without
    these keys is left out. Boxes are compared relative to their image without its padding, and clipped to it.

    `num_classes`: without "no object". `class_weight`, `box_weight`, `giou_weight`, `edge_weight`,
    `distillation_weight`: weights of the terms. `class_cost`, `box_cost`, `giou_cost`: their weights in the matching.
    `alpha`, `gamma`: weight and exponent of negative classes in the varifocal loss. `matching_alpha`,
    `matching_gamma`: of the focal cost in the matching. `matching`: the target of a query's box and edges; `union` is
    the box that most layers matched the query with, so that all layers refine towards the same one, as in the paper;
    `layer` is the match of each layer. `edge_scale`, `edge_reach`: those of the head.

    Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024),
    section 4; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_criterion.py.
    """

    reads: ClassVar[Reads] = (("boxes", "labels"),)

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
        """Returns scalars by name. One transfer to the host, for the matching of all images and layers."""
        self._check(prediction, targets)
        device = prediction.class_logits.device
        # The IoU of small boxes is a difference of nearly equal numbers: too coarse in 16 bits.
        with torch.autocast(device.type, enabled=False):
            named, denoising = _named(prediction), denoising_layers(prediction.denoising)
            box_targets = read_box_targets(targets, canvas, like=prediction.boxes_cxcywh)
            count = torch.zeros((), device=device) if box_targets is None else box_targets.present.sum()
            num_boxes = all_reduce_mean(count)
            if box_targets is None:
                # The other processes also average the number of matches of the union.
                if self.matching == "union":
                    all_reduce_mean(count)
                return self._zeros(named) | self._zeros(denoising)
            terms = self._matched_terms(_clip(named), box_targets, num_boxes)
            if prediction.denoising is not None:
                terms |= self._denoising_terms(prediction.denoising, _clip(denoising), box_targets, num_boxes)
            return terms

    def _matched_terms(self, named: Named, box_targets: BoxTargets, num_boxes: Tensor) -> dict[str, Tensor]:
        layers = [layer for _, layer in named]
        matches = match_boxes(layers, box_targets, num_classes=self.num_classes, costs=self.costs)
        rows, queries = len(box_targets.counts), layers[0].class_logits.shape[1]
        index = matched_index(matches, rows, queries)
        by_layer = assigned(index, box_targets, self.num_classes)
        if self.matching == "layer":
            return self._terms(named, box_targets, by_layer, by_layer, num_boxes, num_boxes)
        union = most_matched(index, box_targets.labels.shape[1])
        num_union = all_reduce_mean((union >= 0).sum())
        shared = assigned(union.expand(len(layers), -1, -1), box_targets, self.num_classes)
        return self._terms(named, box_targets, by_layer, shared, num_boxes, num_union)

    def _denoising_terms(
        self, denoising: DenoisingQueries, named: Named, box_targets: BoxTargets, num_boxes: Tensor
    ) -> dict[str, Tensor]:
        index = denoising_index(denoising, box_targets).expand(len(named), -1, -1)
        targets = assigned(index, box_targets, self.num_classes)
        num_copies = num_boxes * denoising_groups(denoising, box_targets).clamp(min=1)
        return self._terms(named, box_targets, targets, targets, num_copies, num_copies)

    def _terms(
        self,
        named: Named,
        box_targets: BoxTargets,
        for_classes: AssignedBoxes,
        for_boxes: AssignedBoxes,
        num_classified: Tensor,
        num_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """`for_classes`, `for_boxes`: the targets of queries. `num_classified`, `num_boxes`: the divisors of their
        sums."""
        logits, boxes = stack([layer for _, layer in named], box_targets)
        classes = varifocal_term(
            logits, for_classes.labels, for_classes.quality(boxes), alpha=self.alpha, gamma=self.gamma
        )
        distances, giou = for_boxes.box_sums(boxes)
        suffixes = [suffix for suffix, _ in named]
        terms = self._weighted(
            {"class": classes / num_classified, "box": distances / num_boxes, "giou": giou / num_boxes}, suffixes
        )
        fine = [position for position, (_, layer) in enumerate(named) if layer.edge_logits is not None]
        edges = torch.stack([box_targets.select_images(named[position][1].edge_logits) for position in fine])  # type: ignore[arg-type]
        references = torch.stack([box_targets.select_images(named[position][1].reference_boxes) for position in fine])  # type: ignore[arg-type]
        target_boxes = for_boxes.boxes_cxcywh[fine]
        quality = for_boxes.quality(boxes)[fine]
        scale, reach = edges.new_tensor([self.edge_scale]), edges.new_tensor([self.edge_reach])
        distances = weighting_function(edges.shape[-1] - 1, reach=reach, scale=scale)
        each = fine_grained_localization_loss(
            edges, references, target_boxes, quality, distances=distances, scale=scale
        )
        own = AssignedBoxes(for_boxes.labels[fine], target_boxes, for_boxes.is_matched[fine])
        terms |= self._weighted({"edge": own.sum_matched(each) / num_boxes}, [suffixes[position] for position in fine])
        last, earlier = _last_and_earlier(fine, suffixes)
        students = [fine.index(position) for position in earlier]
        if students:
            learned = localization_distillation_loss(
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
        terms = {f"{name}{suffix}": zero_loss(layer) for suffix, layer in named for name in ("class", "box", "giou")}
        terms |= {f"edge{suffixes[position]}": zero_loss(named[position][1]) for position in fine}
        return terms | {f"distillation{suffixes[position]}": zero_loss(named[position][1]) for position in earlier}

    def _check(self, prediction: BoxQueries, targets: Targets) -> None:
        batch, _, columns = prediction.class_logits.shape
        if len(targets) != batch:
            raise ContractError(f"{len(targets)} targets for {batch} images; give one dict for each image.")
        if columns != self.num_classes:
            raise ContractError(
                f"criterion edge_box_set: num_classes={self.num_classes} and the prediction has {columns} columns of "
                f"class logits. It requires one column for each class and none for no object."
            )
        if prediction.edge_logits is None:
            raise ContractError(
                "criterion edge_box_set requires distributions of edges, which the prediction does not have. "
                "The fix: head.criterion.name=box_set."
            )


def _named(prediction: BoxQueries) -> list[tuple[str, BoxQueries]]:
    """The final prediction, the auxiliary ones and the proposals, with the suffix of their terms."""
    named = [("", without_auxiliary(prediction))]
    named += [(f"_{position}", without_auxiliary(layer)) for position, layer in enumerate(prediction.auxiliary or ())]
    return named if prediction.proposals is None else [*named, ("_proposals", without_auxiliary(prediction.proposals))]


def _clip(named: Named) -> list[tuple[str, BoxQueries]]:
    """Centres and sides clipped to [0, 1]; a box with negative sides would have an area."""
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
    """Of the indices of layers with distributions, that of the last layer, and those of the layers before it. The final
    prediction is first among matched layers; of denoising layers the last is last."""
    last = fine[0] if suffixes[fine[0]] == "" else fine[-1]
    return last, [position for position in fine if position != last]


def fine_grained_localization_loss(
    edge_logits: Float[Tensor, "*queries 4 bins"],
    references_cxcywh: Float[Tensor, "*queries 4"],
    target_cxcywh: Float[Tensor, "*queries 4"],
    quality: Float[Tensor, "*queries"],
    *,
    distances: Float[Tensor, "bins"],
    scale: Float[Tensor, "1"],
) -> Float[Tensor, "*queries"]:
    """The fine-grained localization (FGL) loss of every query: cross-entropy of its four edges with the two bins around
    each target distance, times `quality`.

    `quality`: IoU of the query's box with its target. `distances`: those of the bins.
    """
    target_distances = boxes_to_distances(references_cxcywh.detach(), cxcywh_to_xyxy(target_cxcywh), scale)
    below, share = neighbouring_bins(target_distances, distances)
    log_probabilities = edge_logits.log_softmax(-1)
    at_below = log_probabilities.gather(-1, below[..., None])[..., 0]
    at_above = log_probabilities.gather(-1, below[..., None] + 1)[..., 0]
    return -(at_below * (1 - share) + at_above * share).sum(-1) * quality


def localization_distillation_loss(
    edge_logits: Float[Tensor, "layers rows queries 4 bins"],
    last_edge_logits: Float[Tensor, "rows queries 4 bins"],
    last_class_logits: Float[Tensor, "rows queries classes"],
    quality: Float[Tensor, "layers rows queries"],
    is_matched: Bool[Tensor, "layers rows queries"],
) -> Float[Tensor, "layers"]:
    """Localization self-distillation (GO-LSD): the decoupled distillation focal (DDF) loss between the distributions of
    earlier layers and those of the last layer, which gets no gradient.

    The weight of a matched query is its box's IoU (`quality`), that of another query the last layer's largest class
    score. The means over matched and over other queries are weighted by the square roots of their numbers.
    """
    teacher = (last_edge_logits.detach() / TEMPERATURE).log_softmax(-1)
    student = (edge_logits / TEMPERATURE).log_softmax(-1)
    divergence = functional.kl_div(student, teacher.expand_as(student), reduction="none", log_target=True).sum(-1)
    confidence = last_class_logits.detach().sigmoid().amax(-1)
    weights = quality.where(is_matched, confidence) * TEMPERATURE**2
    # losses: [layers, rows, queries], the mean over the four edges
    losses = weights * divergence.mean(-1)
    matched = is_matched.flatten(1).sum(1).to(losses.dtype)
    others = (~is_matched).flatten(1).sum(1).to(losses.dtype)
    mean_matched = losses.where(is_matched, 0.0).flatten(1).sum(1) / matched.clamp(min=1)
    mean_others = losses.where(~is_matched, 0.0).flatten(1).sum(1) / others.clamp(min=1)
    roots = matched.sqrt() + others.sqrt()
    return (mean_matched * matched.sqrt() + mean_others * others.sqrt()) / roots.clamp(min=1)
