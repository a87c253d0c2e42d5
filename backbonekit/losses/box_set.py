"""DETR's loss: the set of predicted boxes is matched to the set of true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.losses.assigned_boxes import assigned, denoising_groups, denoising_index, denoising_layers, stack
from backbonekit.losses.box_matching import BoxMatches, MatchingCosts, match_boxes
from backbonekit.losses.box_terms import box_terms, cross_entropy_term, focal_term, varifocal_term
from backbonekit.losses.distributed import mean_over_processes
from backbonekit.losses.zero import zero_of
from backbonekit.ops.box_truth import BoxTruth, read_boxes
from backbonekit.ops.boxes import corners_of, overlaps
from backbonekit.ops.precision import at_least_single

Classification = Literal["auto", "cross_entropy", "focal", "varifocal"]
Exponent = Annotated[float, Range(0.0, 10.0)]


@dataclass(slots=True)
class LayerGroup:
    """Answers with equally many queries that are judged by one truth, all at once. `suffixes`: of the terms' names."""

    suffixes: list[str]
    layers: list[BoxQueries]
    truth: BoxTruth


class BoxSetCriterion(nn.Module):
    """A loss of the classes, and L1 and generalized IoU of the boxes, after a one-to-one matching.

    Terms: `class`, `box`, `giou`; for every auxiliary answer again with `_0`, `_1`, ... after the name, for proposals
    with `_proposals`, and for answers to disturbed copies of the truth, which need no matching, with `_denoising_0`,
    ..., by the same weights. Reads `labels` and `boxes`; an image without these keys is left out.
    Boxes are compared relative to their image without its padding.

    `num_classes`: without "no object". `classification`: cross_entropy where the prediction has a column of "no
    object";
    focal or varifocal (the score should be the overlap with the true box) where it has none; auto takes the first or
    the second by the columns. `class_weight`, `box_weight`, `giou_weight`: of the terms. `class_cost`, `box_cost`,
    `giou_cost`: of the same in the matching. `no_object_weight`: of queries without a box in the cross-entropy; small,
    since most are. `alpha`, `gamma`: of the focal loss, weight of true classes and how little easy ones count; of
    varifocal, weight and exponent of wrong classes. `matching_alpha`, `matching_gamma`: of the focal cost in the
    matching. `proposals`: what an encoder's proposals should tell, the `classes` or, in the first class's place, only
    that something is there (`objectness`).

    Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), sections 3.1 and A.2;
    github.com/facebookresearch/detr, models/detr.py; Zhu et al., "Deformable DETR" (2021), section 4 and appendix A.4;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_detr.py.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        classification: Classification = "auto",
        class_weight: Weight = 1.0,
        box_weight: Weight = 5.0,
        giou_weight: Weight = 2.0,
        class_cost: Weight = 1.0,
        box_cost: Weight = 5.0,
        giou_cost: Weight = 2.0,
        no_object_weight: Probability = 0.1,
        alpha: Probability = 0.25,
        gamma: Exponent = 2.0,
        matching_alpha: Probability = 0.25,
        matching_gamma: Exponent = 2.0,
        proposals: Literal["classes", "objectness"] = "classes",
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.classification: Classification = classification
        self.weights = {"class": class_weight, "box": box_weight, "giou": giou_weight}
        self.costs = MatchingCosts(class_cost, box_cost, giou_cost, True, matching_alpha, matching_gamma)
        self.no_object_weight = no_object_weight
        self.alpha = alpha
        self.gamma = gamma
        self.proposals = proposals

    def forward(self, prediction: BoxQueries, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Scalars by name. One transfer to the host, for the matching of all images and layers; one more for
        proposals that are more than the queries."""
        batch, device = prediction.class_logits.shape[0], prediction.class_logits.device
        if len(targets) != batch:
            raise ContractError(f"{len(targets)} targets for {batch} images; give one dict an image.")
        classification = chosen_classification(self.classification, prediction, self.num_classes)
        # Overlaps of small boxes are differences of near numbers: too coarse in 16 bits.
        with torch.autocast(device.type, enabled=False):
            named = named_layers(prediction)
            truth = read_boxes(targets, canvas, like=prediction.boxes_cxcywh)
            count = torch.zeros((), device=device) if truth is None else truth.present.sum()
            num_boxes = mean_over_processes(count)
            disturbed = denoising_layers(prediction.denoising)
            if truth is None:
                return self._zeros([*named, *disturbed])
            terms: dict[str, Tensor] = {}
            costs = replace(self.costs, is_sigmoid=classification != "cross_entropy")
            for group in self._groups(named, truth):
                matches = match_boxes(group.layers, group.truth, num_classes=self.num_classes, costs=costs)
                terms |= self._terms(group, matches, num_boxes, classification)
            if prediction.denoising is not None:
                terms |= self._denoising_terms(prediction.denoising, disturbed, truth, num_boxes, classification)
            return terms

    def _groups(self, named: Sequence[tuple[str, BoxQueries]], truth: BoxTruth) -> list[LayerGroup]:
        """The decoder's layers together, and proposals with them if they are of the same kind."""
        groups: list[LayerGroup] = []
        for suffix, layer in named:
            is_other = suffix == "_proposals" and self.proposals == "objectness"
            same = None if is_other else _fitting(groups, layer)
            if same is None:
                own = replace(truth, labels=torch.zeros_like(truth.labels)) if is_other else truth
                groups.append(LayerGroup([suffix], [layer], own))
            else:
                same.suffixes.append(suffix)
                same.layers.append(layer)
        return groups

    def _terms(
        self, group: LayerGroup, matches: BoxMatches, num_boxes: Tensor, classification: Classification
    ) -> dict[str, Tensor]:
        truth, layer_index = group.truth, matches.layer_index
        logits = torch.stack([truth.rows_of(layer.class_logits) for layer in group.layers])
        boxes = torch.stack([truth.rows_of(layer.boxes_cxcywh) for layer in group.layers])
        # predicted, wanted: [layers, pairs, 4]
        predicted = boxes[layer_index, matches.rows, matches.queries]
        wanted = truth.boxes_cxcywh[matches.rows, matches.targets]
        distances, giou = box_terms(predicted, wanted)
        labels = torch.full(logits.shape[:-1], self.num_classes, device=logits.device)
        labels[layer_index, matches.rows, matches.queries] = truth.labels[matches.rows, matches.targets]
        quality = logits.new_zeros(labels.shape)
        if classification == "varifocal":
            iou, _ = overlaps(corners_of(predicted.detach()), corners_of(wanted))
            quality[layer_index, matches.rows, matches.queries] = iou.to(quality.dtype)
        classes = self._classes(logits, labels, quality, num_boxes, classification)
        found = {"class": classes, "box": distances.sum(1) / num_boxes, "giou": giou.sum(1) / num_boxes}
        return self._weighted(found, group.suffixes)

    def _denoising_terms(
        self,
        denoising: DenoisingQueries,
        named: Sequence[tuple[str, BoxQueries]],
        truth: BoxTruth,
        num_boxes: Tensor,
        classification: Classification,
    ) -> dict[str, Tensor]:
        logits, boxes = stack([layer for _, layer in named], truth)
        wanted = assigned(denoising_index(denoising, truth).expand(len(named), -1, -1), truth, self.num_classes)
        num_copies = num_boxes * denoising_groups(denoising, truth).clamp(min=1)
        distances, giou = wanted.box_sums(boxes)
        classes = self._classes(logits, wanted.labels, wanted.quality(boxes), num_copies, classification)
        found = {"class": classes, "box": distances / num_copies, "giou": giou / num_copies}
        return self._weighted(found, [suffix for suffix, _ in named])

    def _classes(
        self, logits: Tensor, labels: Tensor, quality: Tensor, num_boxes: Tensor, classification: Classification
    ) -> Tensor:
        """[layers]. `quality`: [layers, rows, queries], of varifocal loss alone."""
        if classification == "cross_entropy":
            return cross_entropy_term(logits, labels, no_object_weight=self.no_object_weight)
        if classification == "focal":
            return focal_term(logits, labels, alpha=self.alpha, gamma=self.gamma) / num_boxes
        return varifocal_term(logits, labels, quality, alpha=self.alpha, gamma=self.gamma) / num_boxes

    def _weighted(self, found: Mapping[str, Tensor], suffixes: Sequence[str]) -> dict[str, Tensor]:
        return {
            f"{name}{suffix}": term * self.weights[name]
            for name, by_layer in found.items()
            for suffix, term in zip(suffixes, by_layer, strict=True)
        }

    def _zeros(self, named: Sequence[tuple[str, BoxQueries]]) -> dict[str, Tensor]:
        return {f"{name}{suffix}": zero_of(layer) for suffix, layer in named for name in self.weights}


def named_layers(prediction: BoxQueries) -> list[tuple[str, BoxQueries]]:
    """The final answer, the auxiliary ones and the proposals, at least in float32, by the suffix of their terms."""
    named = [("", prediction)]
    named += [(f"_{position}", layer) for position, layer in enumerate(prediction.auxiliary or ())]
    if prediction.proposals is not None:
        named.append(("_proposals", prediction.proposals))
    return [
        (suffix, BoxQueries(at_least_single(layer.class_logits), at_least_single(layer.boxes_cxcywh)))
        for suffix, layer in named
    ]


def chosen_classification(classification: Classification, prediction: BoxQueries, num_classes: int) -> Classification:
    """What `auto` means for this prediction. Raises ContractError where the columns do not fit what is asked."""
    columns = prediction.class_logits.shape[-1]
    if classification == "auto":
        classification = "cross_entropy" if columns == num_classes + 1 else "focal"
    wanted = num_classes + (classification == "cross_entropy")
    if columns != wanted:
        what = "with" if classification == "cross_entropy" else "without"
        raise ContractError(
            f"criterion box_set: classification={classification} wants {wanted} columns of class logits "
            f"(num_classes={num_classes} {what} one of no object) and the prediction has {columns}. The fix: "
            f"classification=auto."
        )
    return classification


def _fitting(groups: Sequence[LayerGroup], layer: BoxQueries) -> LayerGroup | None:
    shape = layer.class_logits.shape
    return next((group for group in groups if group.layers[0].class_logits.shape == shape), None)
