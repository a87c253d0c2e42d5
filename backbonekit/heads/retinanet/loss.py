"""RetinaNet's loss: anchors that overlap a box answer for it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import box_iou, sigmoid_focal_loss

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Weight
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Targets
from backbonekit.losses.dense_truth import read_dense_truth, side_by_side
from backbonekit.losses.zero import zero_of
from backbonekit.ops.box_corrections import corrections_to
from backbonekit.ops.box_truth import BoxTruth

NOTHING, NEITHER = -1, -2  # background, and overlaps too much to be background but too little to answer


class RetinaNetCriterion(nn.Module):
    """Focal loss of the classes, absolute error of the corrections.

    Terms: `class`, `box`; of each image a sum over anchors by the number that prediction for a box, then the mean over
    images. Reads `labels` and `boxes`; an image without these keys is left out; padding is background of nothing.

    `num_classes`: without background. `class_weight`, `box_weight`: of the terms. `positive_overlap`: from this IoU on
    an anchor answers for a box, and the best one of each box always does. `negative_overlap`: below it an anchor is
    background; between the two it is not judged.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (2017), section 4; torchvision/models/detection/
    retinanet.py.
    """

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
        """Scalars by name; no transfer to the host."""
        truth = read_dense_truth(targets, canvas, num_classes=self.num_classes, like=prediction.anchors_xyxy[0])
        if truth is None:
            return {name: zero_of(prediction) for name in self.weights}
        with torch.autocast(prediction.anchors_xyxy[0].device.type, enabled=False):
            given = side_by_side(prediction, truth, canvas)
            matches = match_anchors(
                given.anchors_xyxy, truth, positive=self.positive_overlap, negative=self.negative_overlap
            )
            found = (matches >= 0) & given.real
            index = matches.clamp(min=0)
            number = found.sum(1).clamp(min=1)
            anchors = given.anchors_xyxy[None].expand_as(given.regression)
            wanted = truth.boxes_xyxy.gather(1, index[..., None].expand(-1, -1, 4))
            wanted = torch.where(found[..., None], wanted, anchors)
            one_hot = functional.one_hot(truth.labels.gather(1, index), self.num_classes) * found[..., None]
            classes = sigmoid_focal_loss(given.class_logits, one_hot.to(given.class_logits.dtype)).sum(-1)
            errors = (given.regression - corrections_to(wanted, anchors)).abs().sum(-1)
            zero = errors.new_zeros(())
            terms = {
                "class": torch.where(given.real & (matches != NEITHER), classes, zero),
                "box": torch.where(found, errors, zero),
            }
            whole = zero_of(prediction)
            return {name: (term.sum(1) / number).mean() * self.weights[name] + whole for name, term in terms.items()}


@torch.no_grad()
def match_anchors(
    anchors_xyxy: Float[Tensor, "places 4"], truth: BoxTruth, *, positive: float, negative: float
) -> Int[Tensor, "images places"]:
    """Which box each anchor answers for; NOTHING, or NEITHER."""
    images, boxes = truth.present.shape
    # overlaps: [images, boxes, places]
    overlaps = box_iou(truth.boxes_xyxy.flatten(0, 1), anchors_xyxy).view(images, boxes, -1)
    overlaps = torch.where(truth.present[..., None], overlaps, -1.0)
    best, index = overlaps.max(1)
    matches = torch.where(best >= positive, index, torch.where(best < negative, NOTHING, NEITHER))
    is_best_of_a_box = (overlaps == overlaps.amax(-1, keepdim=True)) & truth.present[..., None]
    return torch.where(is_best_of_a_box.any(1), index, matches)
