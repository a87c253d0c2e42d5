"""Maps and masks read at points, and points drawn where a mask is unsure.

Points are x and y in [0, 1], 0 and 1 at the outer edges of a map whatever its size.

Source: Kirillov et al., "PointRend: Image Segmentation as Rendering" (2020), section 3.1;
github.com/facebookresearch/detectron2, projects/PointRend/point_rend/point_features.py.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor


def sample_maps(
    maps: Float[Tensor, "rows channels height width"], points: Float[Tensor, "rows points 2"]
) -> Float[Tensor, "rows channels points"]:
    """Between the centres of four places; beyond the edge all is 0."""
    grid = (2 * points - 1).to(maps.dtype)[:, :, None]
    return functional.grid_sample(maps, grid, align_corners=False)[..., 0]


def corners(
    points: Float[Tensor, "*rows 2"], size: tuple[int, int]
) -> Iterator[tuple[Int[Tensor, "*rows"], Float[Tensor, "*rows"]]]:
    """One by one the four places around each point, as positions in the flattened map, with their weights: those of
    `sample_maps`. They sum to 1, or to less at an edge, since what is beyond weighs nothing."""
    height, width = size
    # Centres of places lie at whole numbers.
    x, y = points[..., 0] * width - 0.5, points[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    to_right, down = x - left, y - top
    sides = []
    for start, share, count in ((left, to_right, width), (top, down, height)):
        first, last = start.long(), start.long() + 1
        sides.append(
            (
                (first.clamp(min=0), (1 - share) * (first >= 0)),
                (last.clamp(max=count - 1), share * (last < count)),
            )
        )
    for row, height_weight in sides[1]:
        for column, width_weight in sides[0]:
            yield row * width + column, height_weight * width_weight


def sample_nearest(
    masks: Bool[Tensor, "masks height width"], rows: Int[Tensor, "rows"], points: Float[Tensor, "rows points 2"]
) -> Bool[Tensor, "rows points"]:
    """The place that each point falls into. `rows`: which mask each row of points reads."""
    height, width = masks.shape[-2:]
    column = (points[..., 0] * width).long().clamp(0, width - 1)
    row = (points[..., 1] * height).long().clamp(0, height - 1)
    return masks.take((rows[:, None] * height + row) * width + column)


def random_points(rows: int, count: int, like: Tensor) -> Float[Tensor, "rows points 2"]:
    """Drawn uniformly by torch's generator, in the type and on the device of `like`."""
    return torch.rand(rows, count, 2, dtype=like.dtype, device=like.device)


@torch.no_grad()
def uncertain_points(
    logits: Float[Tensor, "rows height width"],
    *,
    count: int,
    oversample: float,
    importance: float,
    extents: Float[Tensor, "rows 2"] | None = None,
    is_valid: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "rows points 2"]:
    """Points on each map, most of them where its logit is nearest to 0.

    `count`: how many. `oversample`: of this many times as many, at least 1, drawn uniformly, the best are kept.
    `importance`: the share of points that are found so; the others are drawn uniformly. `extents`: the width and height
    of each map in which points may lie, in [0, 1]. `is_valid`: for points [rows, any, 2] which of them may be sought.
    """
    drawn = random_points(logits.shape[0], int(count * oversample), logits)
    if extents is not None:
        drawn = drawn * extents[:, None]
    certainty = sample_maps(logits[:, None], drawn)[:, 0].abs()
    if is_valid is not None:
        certainty = certainty.masked_fill(~is_valid(drawn), float("inf"))
    sought = int(importance * count)
    # Unsorted: the order of points means nothing, and sorting them is most of the work.
    best = certainty.topk(sought, dim=1, largest=False, sorted=False).indices
    found = drawn.gather(1, best[..., None].expand(-1, -1, 2))
    if sought == count:
        return found
    others = random_points(logits.shape[0], count - sought, logits)
    return torch.cat((found, others if extents is None else others * extents[:, None]), dim=1)
