"""FCOS's loss: the positives of a box are the locations of its level inside it and near its centre."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Weight
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.dense_box_targets import concatenate_levels, read_dense_box_targets
from backbonekit.losses.reduction import all_reduce_mean, zero_loss
from backbonekit.ops.boxes import iou_and_giou
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import BoxTargets

CENTRE_RADIUS = 1.5  # in strides of the level
SMALLEST, LARGEST = 4, 8  # range of the largest regression distance of a level, in strides


class FCOSCriterion(nn.Module):
    """Focal loss of the classes, GIoU loss of the boxes, binary cross-entropy of the centre-ness.

    Terms: `class`, `box`, `centreness`, each a sum over locations divided by the number of positive locations. Reads
    `labels` and `boxes`; an image without these keys is left out, and locations on padding count in no term.

    `num_classes`: without background. `class_weight`, `box_weight`, `centreness_weight`: weights of the terms.

    Source: Tian et al., "FCOS" (2019), sections 3.1 to 3.3, with centre sampling; torchvision/models/detection/fcos.py.
    """

    reads: ClassVar[Reads] = (("boxes", "labels"),)

    def __init__(
        self,
        *,
        num_classes: Classes,
        class_weight: Weight = 1.0,
        box_weight: Weight = 1.0,
        centreness_weight: Weight = 1.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.weights = {"class": class_weight, "box": box_weight, "centreness": centreness_weight}

    def forward(self, prediction: BoxCandidates, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns scalars by name; no transfer to the host."""
        like = prediction.anchors_xyxy[0]
        box_targets = read_dense_box_targets(targets, canvas, num_classes=self.num_classes, like=like)
        if box_targets is None:
            all_reduce_mean(torch.zeros((), device=like.device))
            return {name: zero_loss(prediction) for name in self.weights}
        with torch.autocast(like.device.type, enabled=False):
            given = concatenate_levels(prediction, box_targets, canvas)
            matches = match_locations(
                given.anchors_xyxy, box_targets, [level.shape[0] for level in prediction.anchors_xyxy]
            )
            is_positive = (matches >= 0) & given.real
            index = matches.clamp(min=0)
            number = all_reduce_mean(is_positive.sum())
            anchors = given.anchors_xyxy[None].expand_as(given.boxes_xyxy)
            # For negatives prediction and target are both the anchor, so that no gradient is NaN.
            target_boxes = box_targets.boxes_xyxy.gather(1, index[..., None].expand(-1, -1, 4))
            target_boxes = torch.where(is_positive[..., None], target_boxes, anchors)
            boxes = torch.where(is_positive[..., None], given.boxes_xyxy, anchors)
            labels = box_targets.labels.gather(1, index)
            one_hot = functional.one_hot(labels, self.num_classes) * is_positive[..., None]
            classes = sigmoid_focal_loss(given.class_logits, one_hot.to(given.class_logits.dtype)).sum(-1)
            assert given.quality_logits is not None
            centreness_losses = functional.binary_cross_entropy_with_logits(
                given.quality_logits, centreness(target_boxes, anchors), reduction="none"
            )
            zero = centreness_losses.new_zeros(())
            terms = {
                "class": torch.where(given.real, classes, zero),
                "box": torch.where(is_positive, 1 - iou_and_giou(boxes, target_boxes)[1], zero),
                "centreness": torch.where(is_positive, centreness_losses, zero),
            }
            # The distances of negatives, and of images without targets, get a gradient of zero.
            whole = zero_loss(prediction)
            return {name: term.sum() / number * self.weights[name] + whole for name, term in terms.items()}


@torch.no_grad()
def match_locations(
    anchors_xyxy: Float[Tensor, "locations 4"], box_targets: BoxTargets, num_locations: list[int]
) -> Int[Tensor, "images locations"]:
    """The box that each location is assigned to, the smallest one if several fit; -1 for background. `num_locations`:
    of each level."""
    boxes = upcast_to_float32(box_targets.boxes_xyxy)
    centres = (anchors_xyxy[:, :2] + anchors_xyxy[:, 2:]) / 2
    sides = anchors_xyxy[:, 2] - anchors_xyxy[:, 0]
    # all: [images, locations, boxes]
    from_centre = (centres[None, :, None] - (boxes[:, None, :, :2] + boxes[:, None, :, 2:]) / 2).abs().amax(-1)
    before = centres[None, :, None] - boxes[:, None, :, :2]
    after = boxes[:, None, :, 2:] - centres[None, :, None]
    distances = torch.cat((before, after), dim=-1)
    farthest = distances.amax(-1)
    levels = [sides.new_full((count,), float(level)) for level, count in enumerate(num_locations)]
    level = torch.cat(levels)
    lowest = torch.where(level == 0, 0.0, sides * SMALLEST)[None, :, None]
    highest = torch.where(level == len(num_locations) - 1, float("inf"), sides * LARGEST)[None, :, None]
    fits = (
        (from_centre < CENTRE_RADIUS * sides[None, :, None])
        & (distances.amin(-1) > 0)
        & (farthest > lowest)
        & (farthest < highest)
        & box_targets.present[:, None]
    )
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[:, None]
    smallest, index = torch.where(fits, areas, float("inf")).min(-1)
    return torch.where(smallest.isfinite(), index, -1)


def centreness(
    boxes_xyxy: Float[Tensor, "*batch locations 4"], anchors_xyxy: Float[Tensor, "*batch locations 4"]
) -> Float[Tensor, "*batch locations"]:
    """The centre-ness in [0, 1]: 1 for an anchor at the centre of its box, 0 on its border."""
    centres = (anchors_xyxy[..., :2] + anchors_xyxy[..., 2:]) / 2
    before, after = centres - boxes_xyxy[..., :2], boxes_xyxy[..., 2:] - centres
    return (torch.minimum(before, after) / torch.maximum(before, after)).prod(-1).sqrt()
