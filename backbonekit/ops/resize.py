"""Maps brought to another size, always told as (height, width) of a tensor and never as a factor."""

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor


def resize_nearest(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Each position takes the value of the position that it falls into."""
    return functional.interpolate(maps, size=size, mode="nearest")


def resize_bilinear(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Linear between the centres of positions (corners are not aligned); beyond the outer centres the edge goes on."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def resize_between_corners(
    maps: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Linear, the centres of the four corner positions kept where they are (corners are aligned)."""
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=True)
