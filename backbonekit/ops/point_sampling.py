"""Feature maps and masks sampled at points, and points drawn where a mask is uncertain.

Points are x and y in [0, 1], relative to the outer edges of a map.

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
    """Bilinear between the centres of four positions; 0 beyond the edge."""
    grid = (2 * points - 1).to(maps.dtype)[:, :, None]
    return functional.grid_sample(maps, grid, align_corners=False)[..., 0]


def bilinear_neighbours(
    points: Float[Tensor, "*rows 2"], size: tuple[int, int]
) -> Iterator[tuple[Int[Tensor, "*rows"], Float[Tensor, "*rows"]]]:
    """The four positions around each point, one after the other, as indices into the flattened map, with the weights
    that `sample_maps` uses. Weights sum to 1, or to less at an edge, beyond which they are 0."""
    height, width = size
    # Centres of positions are at whole numbers.
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
    """The value of the position that each point falls into. `rows`: the mask that each row of points reads."""
    height, width = masks.shape[-2:]
    column = (points[..., 0] * width).long().clamp(0, width - 1)
    row = (points[..., 1] * height).long().clamp(0, height - 1)
    return masks.take((rows[:, None] * height + row) * width + column)


def random_points(rows: int, count: int, like: Tensor) -> Float[Tensor, "rows points 2"]:
    """Points drawn uniformly by torch's generator, in the type and on the device of `like`."""
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
    """Points sampled by importance: most of them where the logit is nearest to 0.

    `count`: the number of points. `oversample`: `count` times this many points, at least 1, are drawn uniformly, and
    the most uncertain are kept. `importance`: the share of points that are found this way; the others are drawn
    uniformly. `extents`: the width and height of each map within which points are drawn, in [0, 1]. `is_valid`: takes
    points [rows, any, 2], returns which of them may be kept as uncertain.
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
