"""Copies of the truth with wrong classes and shifted edges, from which a decoder learns to find the truth again.

Source: Li et al., "DN-DETR" (2022), section 4; with negatives: Zhang et al., "DINO" (2023), section 3.3;
github.com/lyuwenyu/RT-DETR, rtdetr_pytorch/src/zoo/rtdetr/denoising.py.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import centres_of, corners_of, inverse_sigmoid


@dataclass(slots=True)
class DisturbedBoxes:
    """Groups of queries, one after the other; a group holds a positive, then a negative copy of every slot.

    `labels`: int64 [batch, queries], the number of classes where an image has fewer boxes. `box_logits`: [batch,
    queries, 4], centre and size before sigmoid. `target_index`: int64 [batch, queries], the box that a query was made
    from; -1 for none. `is_positive`: bool [batch, queries]. `group_size`: queries in a group.
    """

    labels: Tensor
    box_logits: Tensor
    target_index: Tensor
    is_positive: Tensor
    group_size: int


def disturbed_boxes(
    labels: Int64[Tensor, "batch slots"],
    boxes_cxcywh: Float[Tensor, "batch slots 4"],
    present: Bool[Tensor, "batch slots"],
    *,
    num_classes: int,
    count: int,
    label_noise: float,
    box_noise: float,
) -> DisturbedBoxes:
    """Draws from torch's global generator. No queries where no image has a box.

    `boxes_cxcywh`: in [0, 1]. `count`: about how many positive queries; at least one group. `label_noise`: half of it
    is the share of labels drawn anew. `box_noise`: how far an edge of a positive copy moves at most, in half sides; of
    a negative one up to twice that, and at least that.
    """
    batch, slots = labels.shape
    groups = max(1, count // max(slots, 1))
    labels = labels.masked_fill(~present, num_classes).repeat(1, 2 * groups)
    boxes = boxes_cxcywh.repeat(1, 2 * groups, 1)
    target_index = torch.arange(slots, device=labels.device).expand(batch, -1).masked_fill(~present, -1)
    is_negative = torch.arange(2 * slots, device=labels.device).expand(batch, -1) >= slots
    is_negative = is_negative.repeat(1, groups)
    if label_noise > 0:
        is_redrawn = torch.rand(labels.shape, dtype=torch.float32, device=labels.device) < label_noise * 0.5
        drawn = torch.randint(0, num_classes, labels.shape, device=labels.device)
        labels = labels.where((labels == num_classes) | ~is_redrawn, drawn)
    if box_noise > 0:
        sign = torch.randint(0, 2, boxes.shape, device=boxes.device) * 2 - 1
        share = torch.rand_like(boxes) + is_negative[..., None]
        half_sides = boxes[..., 2:].repeat(1, 1, 2) * 0.5
        boxes = centres_of((corners_of(boxes) + share * sign * half_sides * box_noise).clamp(0, 1))
    return DisturbedBoxes(labels, inverse_sigmoid(boxes), target_index.repeat(1, 2 * groups), ~is_negative, 2 * slots)


def groups_apart(
    num_disturbed: int, group_size: int, num_queries: int, *, device: torch.device
) -> Bool[Tensor, "1 1 all all"]:
    """True where a query may look at another: disturbed ones at their own group, and all at the ordinary ones.

    The disturbed queries come first. Nobody else may see them, since they know the truth.
    """
    own = torch.arange(num_disturbed, device=device).div(max(group_size, 1), rounding_mode="floor")
    group = torch.cat((own, own.new_full((num_queries,), -1)))
    return ((group[None, :] == -1) | (group[None, :] == group[:, None]))[None, None]
