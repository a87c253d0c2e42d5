"""Anchors, the boxes that predictions are relative to, and the encoding of boxes relative to them.

Source: Ren et al., "Faster R-CNN" (2015), section 3.1.1; torchvision/models/detection/anchor_utils.py. The encoding:
Girshick et al., R-CNN (2014), appendix C; torchvision/models/detection/_utils.py: BoxCoder.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

# Upper limit of a predicted logarithm of a side's growth: from 16 pixels to 1000.
LARGEST_GROWTH = math.log(1000 / 16)


def cell_anchors(sides: Sequence[float], aspect_ratios: Sequence[float]) -> list[tuple[float, float]]:
    """(width, height) of each anchor of one position, rounded to an even number of pixels, by ratio, then by side.

    `sides`: square roots of the areas, in pixels. `aspect_ratios`: height by width.
    """
    halves = [(round(side / ratio**0.5 / 2), round(side * ratio**0.5 / 2)) for ratio in aspect_ratios for side in sides]
    return [(2.0 * width, 2.0 * height) for width, height in halves]


def grid_anchors(
    shape: tuple[int, int], canvas: tuple[int, int], cells: Sequence[tuple[float, float]], like: Tensor
) -> Float[Tensor, "anchors 4"]:
    """x0 y0 x1 y1 in pixels of the canvas, by row, column, then anchor, on the device of `like` and in its type (at
    least float32, because 16 bits cannot count the pixels of a canvas).

    `shape`: (height, width) of the map. `canvas`: (height, width) of the padded input; the step between neighbouring
    positions is the canvas's size by the map's, rounded down, and the first anchor is centred on the canvas's corner.
    """
    height, width = shape
    # At least one pixel: a neck's coarsest map of a tiny image may be larger than the image.
    dtype = torch.promote_types(like.dtype, torch.float32)
    rows = torch.arange(height, device=like.device) * max(canvas[0] // height, 1)
    columns = torch.arange(width, device=like.device) * max(canvas[1] // width, 1)
    # centres: [height, width, 1, 4]
    y, x = (grid.to(dtype) for grid in torch.meshgrid(rows, columns, indexing="ij"))
    centres = torch.stack((x, y, x, y), dim=-1)[:, :, None]
    corners = torch.tensor([[-w / 2, -h / 2, w / 2, h / 2] for w, h in cells], dtype=dtype, device=like.device)
    return (centres + corners).flatten(0, 2)


def decode_deltas(
    deltas: Float[Tensor, "*batch anchors 4"], anchors_xyxy: Float[Tensor, "*#batch anchors 4"]
) -> Float[Tensor, "*batch anchors 4"]:
    """The boxes, xyxy, that predicted deltas turn anchors into.

    `deltas`: shift of the centre in x and y, as a share of the anchor's size, then the logarithms of the growth of its
    width and height.
    """
    corners = anchors_xyxy.unflatten(-1, (2, 2))
    sizes = corners[..., 1, :] - corners[..., 0, :]
    shifts, growth = deltas.to(anchors_xyxy.dtype).unflatten(-1, (2, 2)).unbind(-2)
    centres = corners[..., 0, :] + sizes / 2 + shifts * sizes
    halves = growth.clamp(max=LARGEST_GROWTH).exp() * sizes / 2
    return torch.cat((centres - halves, centres + halves), dim=-1)


def encode_deltas(
    boxes_xyxy: Float[Tensor, "*batch anchors 4"], anchors_xyxy: Float[Tensor, "*#batch anchors 4"]
) -> Float[Tensor, "*batch anchors 4"]:
    """The deltas that turn anchors into boxes: the inverse of `decode_deltas`. Both have positive sizes."""
    boxes, corners = boxes_xyxy.unflatten(-1, (2, 2)), anchors_xyxy.unflatten(-1, (2, 2))
    sizes = corners[..., 1, :] - corners[..., 0, :]
    box_sizes = boxes[..., 1, :] - boxes[..., 0, :]
    shifts = (boxes[..., 0, :] + box_sizes / 2 - corners[..., 0, :] - sizes / 2) / sizes
    return torch.cat((shifts, (box_sizes / sizes).log()), dim=-1)
