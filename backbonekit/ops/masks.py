"""Masks and segmentations as tensors. A mask is bool [height, width]; a segmentation int64, 255 where it is ignored."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def resize_nearest(
    maps: Shaped[Tensor, "*batch height width"], size: tuple[int, int]
) -> Shaped[Tensor, "*batch new_height new_width"]:
    """Masks or labels at another size by nearest sampling, the kind that brings targets to the size of logits."""
    # Sampling is not defined for bool and int64; uint8 and float32 hold the same values (labels are below 2**24).
    carrier = torch.uint8 if maps.dtype == torch.bool else torch.float32
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).to(carrier)
    return functional.interpolate(flat, size=size, mode="nearest").to(maps.dtype).reshape(*maps.shape[:-2], *size)


def classes_present(segmentation: Int[Tensor, "batch height width"], num_classes: int) -> Bool[Tensor, "batch classes"]:
    """Which of the classes 0..num_classes-1 has a pixel. Other values, such as 255, are no class."""
    # Everything that is no class counts into one more column, which is cut off.
    is_class = (segmentation >= 0) & (segmentation < num_classes)
    labels = segmentation.where(is_class, torch.full_like(segmentation, num_classes)).flatten(1)
    seen = torch.zeros(segmentation.shape[0], num_classes + 1, dtype=torch.bool, device=segmentation.device)
    return seen.scatter(1, labels, torch.ones_like(labels, dtype=torch.bool))[:, :-1]


def masks_of_classes(
    segmentation: Int[Tensor, "*#batch height width"], labels: Int[Tensor, "*#batch"]
) -> Bool[Tensor, "*batch height width"]:
    """The pixels of a class. One segmentation [1, height, width] with labels [N] gives its N masks."""
    return segmentation == labels[..., None, None]
