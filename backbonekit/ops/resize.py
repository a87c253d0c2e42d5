"""Feature maps resized to the (height, width) of another tensor, never by a factor."""

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor


def resize_nearest(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Nearest-neighbour resizing: each position takes the value of the position that it falls into."""
    return functional.interpolate(maps, size=size, mode="nearest")


def resize_bilinear(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Bilinear resizing between the centres of positions (`align_corners=False`); the edge is repeated outside them."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resize_between_corners(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Bilinear resizing that keeps the centres of the four corner positions (`align_corners=True`)."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)
