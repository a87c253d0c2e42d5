"""FCOS's loss: places inside a box, near its centre and of the right level answer for it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Weight
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.contract.targets import Targets
from backbonekit.losses.dense_truth import read_dense_truth, side_by_side
from backbonekit.losses.distributed import mean_over_processes
from backbonekit.losses.zero import zero_of
from backbonekit.ops.box_truth import BoxTruth
from backbonekit.ops.boxes import overlaps
from backbonekit.ops.precision import at_least_single

CENTRE_RADIUS = 1.5  # in strides of the level
SMALLEST, LARGEST = 4, 8  # the farthest side of a box that a level answers for, in strides


class FCOSCriterion(nn.Module):
    """Focal loss of the classes, generalised IoU loss of the boxes, cross-entropy of the centre-ness.

    Terms: `class`, `box`, `centreness`, each a sum over places by the number of places that prediction for a box. Reads
    `labels` and `boxes`; an image without these keys is left out; padding is background of nothing.

    `num_classes`: without background. `class_weight`, `box_weight`, `centreness_weight`: of the terms.

    Source: Tian et al., "FCOS" (2019), sections 3.1 to 3.3, with centre sampling; torchvision/models/detection/fcos.py.
    """

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
        """Scalars by name; no transfer to the host."""
        truth = read_dense_truth(targets, canvas, num_classes=self.num_classes, like=prediction.anchors_xyxy[0])
        if truth is None:
            mean_over_processes(torch.zeros((), device=prediction.anchors_xyxy[0].device))
            return {name: zero_of(prediction) for name in self.weights}
        with torch.autocast(prediction.anchors_xyxy[0].device.type, enabled=False):
            given = side_by_side(prediction, truth, canvas)
            matches = match_places(given.anchors_xyxy, truth, [level.shape[0] for level in prediction.anchors_xyxy])
            found = (matches >= 0) & given.real
            index = matches.clamp(min=0)
            number = mean_over_processes(found.sum())
            anchors = given.anchors_xyxy[None].expand_as(given.boxes_xyxy)
            # Where nothing is to be found prediction and truth are both the anchor, so that no gradient is NaN.
            wanted = truth.boxes_xyxy.gather(1, index[..., None].expand(-1, -1, 4))
            wanted = torch.where(found[..., None], wanted, anchors)
            boxes = torch.where(found[..., None], given.boxes_xyxy, anchors)
            labels = truth.labels.gather(1, index)
            one_hot = functional.one_hot(labels, self.num_classes) * found[..., None]
            classes = sigmoid_focal_loss(given.class_logits, one_hot.to(given.class_logits.dtype)).sum(-1)
            assert given.quality_logits is not None
            centring = functional.binary_cross_entropy_with_logits(
                given.quality_logits, centreness(wanted, anchors), reduction="none"
            )
            zero = centring.new_zeros(())
            terms = {
                "class": torch.where(given.real, classes, zero),
                "box": torch.where(found, 1 - overlaps(boxes, wanted)[1], zero),
                "centreness": torch.where(found, centring, zero),
            }
            # Distances of an image without a truth belong to the graph all the same.
            whole = zero_of(prediction)
            return {name: term.sum() / number * self.weights[name] + whole for name, term in terms.items()}


@torch.no_grad()
def match_places(
    anchors_xyxy: Float[Tensor, "places 4"], truth: BoxTruth, places: list[int]
) -> Int[Tensor, "images places"]:
    """Which box each place answers for, -1 for none; of several boxes the smallest. `places`: how many a level has."""
    boxes = at_least_single(truth.boxes_xyxy)
    centres = (anchors_xyxy[:, :2] + anchors_xyxy[:, 2:]) / 2
    sides = anchors_xyxy[:, 2] - anchors_xyxy[:, 0]
    # all: [images, places, boxes]
    from_centre = (centres[None, :, None] - (boxes[:, None, :, :2] + boxes[:, None, :, 2:]) / 2).abs().amax(-1)
    before = centres[None, :, None] - boxes[:, None, :, :2]
    after = boxes[:, None, :, 2:] - centres[None, :, None]
    distances = torch.cat((before, after), dim=-1)
    farthest = distances.amax(-1)
    levels = [sides.new_full((count,), float(level)) for level, count in enumerate(places)]
    level = torch.cat(levels)
    lowest = torch.where(level == 0, 0.0, sides * SMALLEST)[None, :, None]
    highest = torch.where(level == len(places) - 1, float("inf"), sides * LARGEST)[None, :, None]
    fits = (
        (from_centre < CENTRE_RADIUS * sides[None, :, None])
        & (distances.amin(-1) > 0)
        & (farthest > lowest)
        & (farthest < highest)
        & truth.present[:, None]
    )
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)[:, None]
    smallest, index = torch.where(fits, areas, float("inf")).min(-1)
    return torch.where(smallest.isfinite(), index, -1)


def centreness(
    boxes_xyxy: Float[Tensor, "*batch places 4"], anchors_xyxy: Float[Tensor, "*batch places 4"]
) -> Float[Tensor, "*batch places"]:
    """In [0, 1]: 1 for an anchor in the middle of its box, 0 on its border."""
    centres = (anchors_xyxy[..., :2] + anchors_xyxy[..., 2:]) / 2
    before, after = centres - boxes_xyxy[..., :2], boxes_xyxy[..., 2:] - centres
    return (torch.minimum(before, after) / torch.maximum(before, after)).prod(-1).sqrt()
