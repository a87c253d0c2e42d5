"""Formats of boxes, intersection over union, sizes of images without padding.

Source: Rezatofighi et al., "Generalized Intersection over Union" (2019), algorithm 1; torchvision/ops/boxes.py.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from backbonekit.contract.maps import Canvas

# Relative to an image, a box of one pixel in ten thousand has an area of 1e-8. Its square, which the
# gradient of a quotient divides by, is still above zero in float32.
SMALLEST_AREA = 1e-12


def cxcywh_to_xyxy(boxes_cxcywh: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 4"]:
    """Centre and size to x0, y0, x1, y1."""
    centres, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat((centres - half, centres + half), dim=-1)


def xyxy_to_cxcywh(boxes_xyxy: Float[Tensor, "*boxes 4"]) -> Float[Tensor, "*boxes 4"]:
    """x0, y0, x1, y1 to centre and size."""
    first, last = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat(((first + last) / 2, last - first), dim=-1)


def iou_and_giou(
    one_xyxy: Float[Tensor, "*#boxes 4"], other_xyxy: Float[Tensor, "*#boxes 4"]
) -> tuple[Float[Tensor, "*boxes"], Float[Tensor, "*boxes"]]:
    """Intersection over union in [0, 1] and generalized intersection over union in [-1, 1], elementwise.

    Shapes broadcast: [..., N, 1, 4] with [..., 1, M, 4] returns those of every pair.
    """
    first = torch.maximum(one_xyxy[..., :2], other_xyxy[..., :2])
    last = torch.minimum(one_xyxy[..., 2:], other_xyxy[..., 2:])
    intersection = (last - first).clamp(min=0).prod(-1)
    union = _area(one_xyxy) + _area(other_xyxy) - intersection
    hull_first = torch.minimum(one_xyxy[..., :2], other_xyxy[..., :2])
    hull_last = torch.maximum(one_xyxy[..., 2:], other_xyxy[..., 2:])
    hull = (hull_last - hull_first).clamp(min=0).prod(-1)
    iou = intersection / union.clamp(min=SMALLEST_AREA)
    return iou, iou - (hull - union) / hull.clamp(min=SMALLEST_AREA)


def image_sizes(canvas: Canvas, like: Tensor) -> Float[Tensor, "#batch 2"]:
    """(width, height) in pixels of each image without its padding; on the device of `like` and in its type, at least
    float32, since 16 bits cannot count the pixels of an image.

    A single row where the canvas has no mask. At least 1, since boxes are divided by it even where all is padding.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    if canvas.pixel_mask is None:
        height, width = canvas.size
        sides = (like.new_full((1,), width, dtype=dtype), like.new_full((1,), height, dtype=dtype))
        return torch.stack(sides, dim=-1)
    mask = canvas.pixel_mask.bool()
    width, height = mask.any(1).sum(1), mask.any(2).sum(1)
    return torch.stack((width, height), dim=-1).clamp(min=1).to(like.device, dtype)


def _area(boxes_xyxy: Tensor) -> Tensor:
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).prod(-1)
