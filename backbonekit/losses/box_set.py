"""DETR's loss: the set of predicted boxes is matched with the set of ground-truth boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import BoxQueries, DenoisingQueries
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.box_matching import (
    BoxMatches,
    MatchingCosts,
    assigned,
    denoising_groups,
    denoising_index,
    denoising_layers,
    match_boxes,
    stack,
)
from backbonekit.losses.box_terms import box_terms, cross_entropy_term, focal_term, varifocal_term
from backbonekit.losses.reduction import all_reduce_mean, zero_loss
from backbonekit.ops.boxes import cxcywh_to_xyxy, iou_and_giou
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import BoxTargets, read_box_targets

Classification = Literal["auto", "cross_entropy", "focal", "varifocal"]
Exponent = Annotated[float, Range(0.0, 10.0)]


@dataclass(slots=True)
class LayerGroup:
    """Layers with equally many queries and the same targets, whose terms are computed together. `suffixes`: of the
    names of their terms."""

    suffixes: list[str]
    layers: list[BoxQueries]
    box_targets: BoxTargets


class BoxSetCriterion(nn.Module):
    """A classification loss, and L1 distance and GIoU loss of the boxes, after a one-to-one matching.

    Terms: `class`, `box`, `giou`; the same with a suffix `_0`, `_1`, ... for auxiliary predictions, `_proposals` for
    proposals, and `_denoising_0`, ... for denoising queries, which need no matching, all with the same weights. Reads
    `labels` and `boxes`; an image without these keys is left out. Boxes are compared relative to their image without
    its padding.

    `num_classes`: without "no object". `classification`: cross_entropy where the prediction has a column of "no
    object"; focal or varifocal (the target score is the IoU with the target box) where it has none; auto is
    cross_entropy or focal, by the number of columns. `class_weight`, `box_weight`, `giou_weight`: weights of the terms.
    `class_cost`, `box_cost`, `giou_cost`: their weights in the matching. `no_object_weight`: weight of queries without
    a box in the cross-entropy; small, since most have none. `alpha`, `gamma`: of the focal loss, the weight of
    positives and the exponent that reduces the weight of easy examples; of varifocal, weight and exponent of negative
    classes. `matching_alpha`, `matching_gamma`: of the focal cost in the matching.
    `proposals`: the targets of an encoder's proposals: the `classes`, or `objectness`, where the first class means
    any object.

    Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), sections 3.1 and A.2;
    github.com/facebookresearch/detr, models/detr.py; Zhu et al., "Deformable DETR" (2021), section 4 and appendix A.4;
    github.com/fundamentalvision/Deformable-DETR, models/deformable_detr.py.
    """

    reads: ClassVar[Reads] = (("boxes", "labels"),)

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
        """Returns scalars by name. One transfer to the host, for the matching of all images and layers; one more for
        proposals that are more than the queries."""
        batch, device = prediction.class_logits.shape[0], prediction.class_logits.device
        if len(targets) != batch:
            raise ContractError(f"{len(targets)} targets for {batch} images; give one dict for each image.")
        classification = chosen_classification(self.classification, prediction, self.num_classes)
        # The IoU of small boxes is a difference of nearly equal numbers: too coarse in 16 bits.
        with torch.autocast(device.type, enabled=False):
            named = named_layers(prediction)
            box_targets = read_box_targets(targets, canvas, like=prediction.boxes_cxcywh)
            count = torch.zeros((), device=device) if box_targets is None else box_targets.present.sum()
            num_boxes = all_reduce_mean(count)
            denoising = denoising_layers(prediction.denoising)
            if box_targets is None:
                return self._zeros([*named, *denoising])
            terms: dict[str, Tensor] = {}
            costs = replace(self.costs, is_sigmoid=classification != "cross_entropy")
            for group in self._groups(named, box_targets):
                matches = match_boxes(group.layers, group.box_targets, num_classes=self.num_classes, costs=costs)
                terms |= self._terms(group, matches, num_boxes, classification)
            if prediction.denoising is not None:
                terms |= self._denoising_terms(prediction.denoising, denoising, box_targets, num_boxes, classification)
            return terms

    def _groups(self, named: Sequence[tuple[str, BoxQueries]], box_targets: BoxTargets) -> list[LayerGroup]:
        """The decoder's layers together, and proposals with them if their shapes and targets are the same."""
        groups: list[LayerGroup] = []
        for suffix, layer in named:
            is_other = suffix == "_proposals" and self.proposals == "objectness"
            same = None if is_other else _same_shape(groups, layer)
            if same is None:
                own = replace(box_targets, labels=torch.zeros_like(box_targets.labels)) if is_other else box_targets
                groups.append(LayerGroup([suffix], [layer], own))
            else:
                same.suffixes.append(suffix)
                same.layers.append(layer)
        return groups

    def _terms(
        self, group: LayerGroup, matches: BoxMatches, num_boxes: Tensor, classification: Classification
    ) -> dict[str, Tensor]:
        box_targets, layer_index = group.box_targets, matches.layer_index
        logits = torch.stack([box_targets.select_images(layer.class_logits) for layer in group.layers])
        boxes = torch.stack([box_targets.select_images(layer.boxes_cxcywh) for layer in group.layers])
        # predicted, target_boxes: [layers, pairs, 4]
        predicted = boxes[layer_index, matches.rows, matches.queries]
        target_boxes = box_targets.boxes_cxcywh[matches.rows, matches.targets]
        distances, giou = box_terms(predicted, target_boxes)
        labels = torch.full(logits.shape[:-1], self.num_classes, device=logits.device)
        labels[layer_index, matches.rows, matches.queries] = box_targets.labels[matches.rows, matches.targets]
        quality = logits.new_zeros(labels.shape)
        if classification == "varifocal":
            iou, _ = iou_and_giou(cxcywh_to_xyxy(predicted.detach()), cxcywh_to_xyxy(target_boxes))
            quality[layer_index, matches.rows, matches.queries] = iou.to(quality.dtype)
        classes = self._classes(logits, labels, quality, num_boxes, classification)
        found = {"class": classes, "box": distances.sum(1) / num_boxes, "giou": giou.sum(1) / num_boxes}
        return self._weighted(found, group.suffixes)

    def _denoising_terms(
        self,
        denoising: DenoisingQueries,
        named: Sequence[tuple[str, BoxQueries]],
        box_targets: BoxTargets,
        num_boxes: Tensor,
        classification: Classification,
    ) -> dict[str, Tensor]:
        logits, boxes = stack([layer for _, layer in named], box_targets)
        targets = assigned(
            denoising_index(denoising, box_targets).expand(len(named), -1, -1), box_targets, self.num_classes
        )
        num_copies = num_boxes * denoising_groups(denoising, box_targets).clamp(min=1)
        distances, giou = targets.box_sums(boxes)
        classes = self._classes(logits, targets.labels, targets.quality(boxes), num_copies, classification)
        found = {"class": classes, "box": distances / num_copies, "giou": giou / num_copies}
        return self._weighted(found, [suffix for suffix, _ in named])

    def _classes(
        self, logits: Tensor, labels: Tensor, quality: Tensor, num_boxes: Tensor, classification: Classification
    ) -> Tensor:
        """The classification loss, [layers]. `quality`: [layers, rows, queries], for the varifocal loss only."""
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
        return {f"{name}{suffix}": zero_loss(layer) for suffix, layer in named for name in self.weights}


def named_layers(prediction: BoxQueries) -> list[tuple[str, BoxQueries]]:
    """The final and auxiliary predictions and the proposals, in at least float32, with the suffix of their terms."""
    named = [("", prediction)]
    named += [(f"_{position}", layer) for position, layer in enumerate(prediction.auxiliary or ())]
    if prediction.proposals is not None:
        named.append(("_proposals", prediction.proposals))
    return [
        (suffix, BoxQueries(upcast_to_float32(layer.class_logits), upcast_to_float32(layer.boxes_cxcywh)))
        for suffix, layer in named
    ]


def chosen_classification(classification: Classification, prediction: BoxQueries, num_classes: int) -> Classification:
    """The classification, chosen by the number of columns for `auto`. Raises ContractError where the columns do not
    match it."""
    columns = prediction.class_logits.shape[-1]
    if classification == "auto":
        classification = "cross_entropy" if columns == num_classes + 1 else "focal"
    required = num_classes + (classification == "cross_entropy")
    if columns != required:
        what = "with" if classification == "cross_entropy" else "without"
        raise ContractError(
            f"criterion box_set: classification={classification} requires {required} columns of class logits "
            f"(num_classes={num_classes} {what} one of no object), but the prediction has {columns}. The fix: "
            f"classification=auto."
        )
    return classification


def _same_shape(groups: Sequence[LayerGroup], layer: BoxQueries) -> LayerGroup | None:
    shape = layer.class_logits.shape
    return next((group for group in groups if group.layers[0].class_logits.shape == shape), None)
