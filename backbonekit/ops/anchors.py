"""Boxes that predictions are relative to: the same few at every place of a map.

Source: Ren et al., "Faster R-CNN" (2015), section 3.1.1; torchvision/models/detection/anchor_utils.py.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def cell_anchors(sides: Sequence[float], aspect_ratios: Sequence[float]) -> list[tuple[float, float]]:
    """(width, height) of each anchor, rounded to an even number of pixels, by ratio, then by side.

    `sides`: square roots of the areas, in pixels. `aspect_ratios`: height by width.
    """
    halves = [(round(side / ratio**0.5 / 2), round(side * ratio**0.5 / 2)) for ratio in aspect_ratios for side in sides]
    return [(2.0 * width, 2.0 * height) for width, height in halves]


def grid_anchors(
    shape: tuple[int, int], canvas: tuple[int, int], cells: Sequence[tuple[float, float]], like: Tensor
) -> Float[Tensor, "places 4"]:
    """x0 y0 x1 y1 in pixels of the canvas, by row, column, then anchor; on the device of `like`, and of its type unless
    that has 16 bits, which cannot count the pixels of a canvas.

    `shape`: (height, width) of the map. `canvas`: (height, width) of the padded input; how many whole pixels of it fall
    on a place is the step from one to the next, and the first anchor is centred on the canvas's corner.
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
