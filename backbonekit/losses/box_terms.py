"""How far predicted classes and boxes are from the true ones: cross-entropy, focal, varifocal, L1 and GIoU.

Source: Carion et al., "End-to-End Object Detection with Transformers" (2020), section 3.1 and appendix A.2; Lin et al.,
"Focal Loss for Dense Object Detection" (2017), equation 5; Zhang et al., "VarifocalNet" (2021), equation 2, as in
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/rtdetr_criterion.py.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import corners_of, overlaps


def cross_entropy_term(
    class_logits: Float[Tensor, "layers *queries columns"],
    labels: Int64[Tensor, "layers *queries"],
    *,
    no_object_weight: float,
) -> Float[Tensor, "layers"]:
    """Mean cross-entropy of each layer. Queries of the last column, "no object", weigh `no_object_weight`."""
    null = class_logits.shape[-1] - 1
    losses = functional.cross_entropy(class_logits.flatten(0, -2), labels.flatten(), reduction="none").view_as(labels)
    weights = torch.ones_like(losses).masked_fill(labels == null, no_object_weight)
    # At least something: with a no_object_weight of 0 a batch without boxes weighs nothing.
    return (losses * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1e-6)


def focal_term(
    class_logits: Float[Tensor, "layers *queries classes"],
    labels: Int64[Tensor, "layers *queries"],
    *,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "layers"]:
    """Sum of the focal loss of each layer; a label of the number of classes is "no object". `alpha`: weight of true
    classes against the others; a larger `gamma` cares less for what is right already."""
    # 40: softplus is linear above, to the last digit of float64.
    truth = _one_hot(labels, class_logits)
    against = class_logits * (1 - 2 * truth)
    wrong = against.sigmoid()  # the probability given to the wrong prediction
    weights = alpha * truth + (1 - alpha) * (1 - truth)
    return (weights * wrong**gamma * functional.softplus(against, threshold=40)).flatten(1).sum(1)


def varifocal_term(
    class_logits: Float[Tensor, "layers *queries classes"],
    labels: Int64[Tensor, "layers *queries"],
    quality: Float[Tensor, "layers *queries"],
    *,
    alpha: float,
    gamma: float,
) -> Float[Tensor, "layers"]:
    """Sum of the varifocal loss of each layer: the score of the true class should be the `quality` in [0, 1] of its
    box, and so much does it count; other classes count as their scores to the power of `gamma`, times `alpha`."""
    truth = _one_hot(labels, class_logits)
    wanted = truth * quality[..., None].to(class_logits.dtype)
    weights = alpha * class_logits.detach().sigmoid() ** gamma * (1 - truth) + wanted
    losses = functional.binary_cross_entropy_with_logits(class_logits, wanted, reduction="none")
    return (weights * losses).flatten(1).sum(1)


def box_terms(
    boxes_cxcywh: Float[Tensor, "*pairs 4"], true_cxcywh: Float[Tensor, "*pairs 4"]
) -> tuple[Float[Tensor, "*pairs"], Float[Tensor, "*pairs"]]:
    """Of every pair the L1 distance, and one less the generalized intersection over union."""
    _, giou = overlaps(corners_of(boxes_cxcywh), corners_of(true_cxcywh))
    return (boxes_cxcywh - true_cxcywh).abs().sum(-1), 1 - giou


def _one_hot(labels: Tensor, class_logits: Tensor) -> Tensor:
    """[..., classes]; all zeros for the label after the last class."""
    classes = torch.arange(class_logits.shape[-1], device=labels.device)
    return (labels[..., None] == classes).to(class_logits.dtype)
