"""The terms of box losses: cross-entropy, focal and varifocal loss of classes, L1 distance and GIoU loss of boxes.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.1 and appendix A.2; Lin et al.,
"Focal Loss for Dense Object Detection" (2017), equation 5; Zhang et al., "VarifocalNet" (2021), equation 2, as in
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/rtdetr_criterion.py.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import cxcywh_to_xyxy, iou_and_giou


def cross_entropy_term(
    class_logits: Float[Tensor, "layers *queries columns"],
    labels: Int64[Tensor, "layers *queries"],
    *,
    no_object_weight: float,
) -> Float[Tensor, "layers"]:
    """Mean cross-entropy of each layer. `no_object_weight`: weight of queries labelled "no object", the last column."""
    null = class_logits.shape[-1] - 1
    losses = functional.cross_entropy(class_logits.flatten(0, -2), labels.flatten(), reduction="none").view_as(labels)
    weights = torch.ones_like(losses).masked_fill(labels == null, no_object_weight)
    # Above 0: with a no_object_weight of 0, all weights of a batch without boxes are 0.
    return (losses * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1e-6)


def focal_term(
    class_logits: Float[Tensor, "layers *queries classes"],
    labels: Int64[Tensor, "layers *queries"],
    *,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "layers"]:
    """Sum of the focal loss of each layer; a label equal to the number of classes is "no object". `alpha`: weight of
    positives, 1 - alpha of negatives; a larger `gamma` reduces the weight of easy examples."""
    # 40: above it softplus is linear to the last digit of float64.
    one_hot = _one_hot(labels, class_logits)
    signed = class_logits * (1 - 2 * one_hot)
    wrong = signed.sigmoid()  # the probability of the wrong label
    weights = alpha * one_hot + (1 - alpha) * (1 - one_hot)
    return (weights * wrong**gamma * functional.softplus(signed, threshold=40)).flatten(1).sum(1)


def varifocal_term(
    class_logits: Float[Tensor, "layers *queries classes"],
    labels: Int64[Tensor, "layers *queries"],
    quality: Float[Tensor, "layers *queries"],
    *,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "layers"]:
    """Sum of the varifocal loss of each layer: the target score of the labelled class is the `quality` of its box in
    [0, 1], which is also its weight; the weight of other classes is `alpha` times their score to the power of `gamma`.
    """
    one_hot = _one_hot(labels, class_logits)
    target_scores = one_hot * quality[..., None].to(class_logits.dtype)
    weights = alpha * class_logits.detach().sigmoid() ** gamma * (1 - one_hot) + target_scores
    losses = functional.binary_cross_entropy_with_logits(class_logits, target_scores, reduction="none")
    return (weights * losses).flatten(1).sum(1)


def box_terms(
    boxes_cxcywh: Float[Tensor, "*pairs 4"], target_cxcywh: Float[Tensor, "*pairs 4"]
) -> tuple[Float[Tensor, "*pairs"], Float[Tensor, "*pairs"]]:
    """The L1 distance and 1 - GIoU of every pair."""
    _, giou = iou_and_giou(cxcywh_to_xyxy(boxes_cxcywh), cxcywh_to_xyxy(target_cxcywh))
    return (boxes_cxcywh - target_cxcywh).abs().sum(-1), 1 - giou


def _one_hot(labels: Tensor, class_logits: Tensor) -> Tensor:
    """[..., classes]; all zeros for the label after the last class."""
    classes = torch.arange(class_logits.shape[-1], device=labels.device)
    return (labels[..., None] == classes).to(class_logits.dtype)
