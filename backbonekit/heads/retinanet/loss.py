"""RetinaNet's loss: anchors are assigned to boxes by intersection over union."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou, sigmoid_focal_loss

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Weight
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.dense_box_targets import concatenate_levels, read_dense_box_targets
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.anchors import encode_deltas
from backbonekit.ops.targets import BoxTargets

BACKGROUND, IGNORED = -1, -2  # an ignored anchor has an IoU between the two thresholds


class RetinaNetCriterion(nn.Module):
    """Focal loss of the classes, L1 distance of the box deltas.

    Terms: `class`, `box`; for each image a sum over anchors divided by the number of positive anchors, then the mean
    over images. Reads `labels` and `boxes`; an image without these keys is left out, and anchors on padding count in
    no term.

    `num_classes`: without background. `class_weight`, `box_weight`: weights of the terms. `positive_overlap`: an anchor
    with at least this IoU is assigned to a box, and so is the best anchor of each box. `negative_overlap`: an anchor
    with a lower IoU is background; between the two it is ignored.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4; torchvision/models/detection/
    retinanet.py.
    """

    reads: ClassVar[Reads] = (("boxes", "labels"),)

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 1.0,
        box_weight: Weight = 1.0,
        positive_overlap: Probability = 0.5,
        negative_overlap: Probability = 0.4,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = {"class": class_weight, "box": box_weight}
        self.positive_overlap = positive_overlap
        self.negative_overlap = negative_overlap

    def forward(self, prediction: BoxCandidates, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns scalars by name; no transfer to the host."""
        like = prediction.anchors_xyxy[0]
        box_targets = read_dense_box_targets(targets, canvas, num_classes=self.num_classes, like=like)
        if box_targets is None:
            return {name: zero_loss(prediction) for name in self.weights}
        with torch.autocast(like.device.type, enabled=False):
            given = concatenate_levels(prediction, box_targets, canvas)
            matches = match_anchors(
                given.anchors_xyxy, box_targets, positive=self.positive_overlap, negative=self.negative_overlap
            )
            is_positive = (matches >= 0) & given.real
            index = matches.clamp(min=0)
            number = is_positive.sum(1).clamp(min=1)
            anchors = given.anchors_xyxy[None].expand_as(given.regression)
            target_boxes = box_targets.boxes_xyxy.gather(1, index[..., None].expand(-1, -1, 4))
            target_boxes = torch.where(is_positive[..., None], target_boxes, anchors)
            one_hot = functional.one_hot(box_targets.labels.gather(1, index), self.num_classes) * is_positive[..., None]
            classes = sigmoid_focal_loss(given.class_logits, one_hot.to(given.class_logits.dtype)).sum(-1)
            errors = (given.regression - encode_deltas(target_boxes, anchors)).abs().sum(-1)
            zero = errors.new_zeros(())
            terms = {
                "class": torch.where(given.real & (matches != IGNORED), classes, zero),
                "box": torch.where(is_positive, errors, zero),
            }
            whole = zero_loss(prediction)
            return {name: (term.sum(1) / number).mean() * self.weights[name] + whole for name, term in terms.items()}


@torch.no_grad()
def match_anchors(
    anchors_xyxy: Float[Tensor, "anchors 4"], box_targets: BoxTargets, *, positive: float, negative: float
) -> Int[Tensor, "images anchors"]:
    """The box that each anchor is assigned to; or BACKGROUND, or IGNORED."""
    images, boxes = box_targets.present.shape
    # overlaps: [images, boxes, anchors]
    overlaps = box_iou(box_targets.boxes_xyxy.flatten(0, 1), anchors_xyxy).view(images, boxes, -1)
    overlaps = torch.where(box_targets.present[..., None], overlaps, -1.0)
    best, index = overlaps.max(1)
    matches = torch.where(best >= positive, index, torch.where(best < negative, BACKGROUND, IGNORED))
    is_best_of_a_box = (overlaps == overlaps.amax(-1, keepdim=True)) & box_targets.present[..., None]
    return torch.where(is_best_of_a_box.any(1), index, matches)
