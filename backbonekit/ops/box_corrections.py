"""Boxes told relative to others: shift of the centre in sizes, change of the size as a logarithm.

Source: Girshick et al., R-CNN (2014), appendix C; torchvision/models/detection/_utils.py: BoxCoder.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# A correction cannot enlarge a side by more: from 16 pixels to 1000.
LARGEST_GROWTH = math.log(1000 / 16)


def corrected_boxes(
    corrections: Float[Tensor, "*batch places 4"], boxes_xyxy: Float[Tensor, "*#batch places 4"]
) -> Float[Tensor, "*batch places 4"]:
    """xyxy. `corrections`: x and y in sizes of the box, then the logarithms of how its width and height change."""
    corners = boxes_xyxy.unflatten(-1, (2, 2))
    sizes = corners[..., 1, :] - corners[..., 0, :]
    shifts, growth = corrections.to(boxes_xyxy.dtype).unflatten(-1, (2, 2)).unbind(-2)
    centres = corners[..., 0, :] + sizes / 2 + shifts * sizes
    halves = growth.clamp(max=LARGEST_GROWTH).exp() * sizes / 2
    return torch.cat((centres - halves, centres + halves), dim=-1)


def corrections_to(
    wanted_xyxy: Float[Tensor, "*batch places 4"], boxes_xyxy: Float[Tensor, "*#batch places 4"]
) -> Float[Tensor, "*batch places 4"]:
    """The corrections that turn boxes into the wanted ones. Both have positive sizes."""
    wanted, corners = wanted_xyxy.unflatten(-1, (2, 2)), boxes_xyxy.unflatten(-1, (2, 2))
    sizes = corners[..., 1, :] - corners[..., 0, :]
    wanted_sizes = wanted[..., 1, :] - wanted[..., 0, :]
    shifts = (wanted[..., 0, :] + wanted_sizes / 2 - corners[..., 0, :] - sizes / 2) / sizes
    return torch.cat((shifts, (wanted_sizes / sizes).log()), dim=-1)
