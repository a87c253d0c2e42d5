"""Denoising queries: noised copies of the ground-truth boxes, from which a decoder learns to reconstruct them.

Source: Li et al., "DN-DETR" (2022), section 4; with negatives: Zhang et al., "DINO" (2023), section 3.3;
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/denoising.py.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from backbonekit.ops.numerics import inverse_sigmoid


@dataclass(slots=True)
class NoisedBoxes:
    """Groups of denoising queries, one after the other; a group holds a positive, then a negative copy of every target.

    `labels`: int64 [batch, queries], the number of classes in the padding. `box_logits`: [batch, queries, 4], centre
    and size before sigmoid. `target_index`: int64 [batch, queries], the target that a query was made from; -1 in the
    padding. `is_positive`: bool [batch, queries]. `group_size`: the number of queries in a group.
    """

    labels: Tensor
    box_logits: Tensor
    target_index: Tensor
    is_positive: Tensor
    group_size: int


def noised_boxes(
    labels: Int64[Tensor, "batch targets"],
    boxes_cxcywh: Float[Tensor, "batch targets 4"],
    present: Bool[Tensor, "batch targets"],
    *,
    num_classes: int,
    count: int,
    label_noise: float,
    box_noise: float,
) -> NoisedBoxes:
    """Noised copies of boxes and labels, drawn by torch's global generator. No queries where no image has a box.

    `boxes_cxcywh`: in [0, 1]. `present`: False in the padding. `count`: about how many positive queries; at least one
    group. `label_noise`: half of it is the share of labels that are drawn anew. `box_noise`: the largest shift of an
    edge of a positive copy, in half sides; an edge of a negative copy is shifted by one to two times that.
    """
    batch, num_targets = labels.shape
    groups = max(1, count // max(num_targets, 1))
    labels = labels.masked_fill(~present, num_classes).repeat(1, 2 * groups)
    boxes = boxes_cxcywh.repeat(1, 2 * groups, 1)
    target_index = torch.arange(num_targets, device=labels.device).expand(batch, -1).masked_fill(~present, -1)
    is_negative = torch.arange(2 * num_targets, device=labels.device).expand(batch, -1) >= num_targets
    is_negative = is_negative.repeat(1, groups)
    if label_noise > 0:
        is_redrawn = torch.rand(labels.shape, dtype=torch.float32, device=labels.device) < label_noise * 0.5
        drawn = torch.randint(0, num_classes, labels.shape, device=labels.device)
        labels = labels.where((labels == num_classes) | ~is_redrawn, drawn)
    if box_noise > 0:
        sign = torch.randint(0, 2, boxes.shape, device=boxes.device) * 2 - 1
        share = torch.rand_like(boxes) + is_negative[..., None]
        half_sides = boxes[..., 2:].repeat(1, 1, 2) * 0.5
        boxes = xyxy_to_cxcywh((cxcywh_to_xyxy(boxes) + share * sign * half_sides * box_noise).clamp(0, 1))
    return NoisedBoxes(
        labels, inverse_sigmoid(boxes), target_index.repeat(1, 2 * groups), ~is_negative, 2 * num_targets
    )


def denoising_attention_mask(
    num_denoising: int, group_size: int, num_queries: int, *, device: torch.device
) -> Bool[Tensor, "1 1 all all"]:
    """True where a query may attend to another: denoising queries to their own group, and all queries to the matching
    queries.

    Denoising queries come first. Matching queries cannot attend to them, because they contain the ground truth.
    """
    own = torch.arange(num_denoising, device=device).div(max(group_size, 1), rounding_mode="floor")
    group = torch.cat((own, own.new_full((num_queries,), -1)))
    return ((group[None, :] == -1) | (group[None, :] == group[:, None]))[None, None]
