"""Masks and segmentations as tensors. A mask is bool [height, width], a segmentation int64, with the ignored label
where a pixel has no class."""

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def resize_labels(
    maps: Shaped[Tensor, "*batch height width"], size: tuple[int, int]
) -> Shaped[Tensor, "*batch new_height new_width"]:
    """Masks or segmentations at another size, by nearest sampling as `torch.nn.functional.interpolate` does it.

    Targets are resized so to the size of logits; images and their targets are resized as Pillow does it, in
    `image_processing.resize`.
    """
    # interpolate is not defined for bool and int64; uint8 and float32 hold the same values (labels are below 2**24).
    carrier = torch.uint8 if maps.dtype == torch.bool else torch.float32
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).to(carrier)
    return functional.interpolate(flat, size=size, mode="nearest").to(maps.dtype).reshape(*maps.shape[:-2], *size)


def classes_present(segmentation: Int[Tensor, "batch height width"], num_classes: int) -> Bool[Tensor, "batch classes"]:
    """Whether each class 0..num_classes-1 has a pixel. Other labels, such as -1, are not classes."""
    # Other labels are counted in one more column, which is cut off.
    is_class = (segmentation >= 0) & (segmentation < num_classes)
    labels = segmentation.where(is_class, torch.full_like(segmentation, num_classes)).flatten(1)
    seen = torch.zeros(segmentation.shape[0], num_classes + 1, dtype=torch.bool, device=segmentation.device)
    return seen.scatter(1, labels, torch.ones_like(labels, dtype=torch.bool))[:, :-1]


def masks_of_classes(
    segmentation: Int[Tensor, "*#batch height width"], labels: Int[Tensor, "*#batch"]
) -> Bool[Tensor, "*batch height width"]:
    """The masks of classes. One segmentation [1, height, width] with labels [N] returns N masks."""
    return segmentation == labels[..., None, None]
