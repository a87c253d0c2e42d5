"""Fine-grained distributions of the edges of boxes: bins that are fine around zero and coarse far from it.

The distance of an edge from the same edge of a reference box is in sides of that box, times `scale`; positive is
outwards.

Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024),
section 4.1, equations 2 and 3; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_utils.py.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import xyxy_to_cxcywh


def weighting_function(
    bins: int, *, reach: Float[Tensor, "1"], scale: Float[Tensor, "1"]
) -> Float[Tensor, "bins_and_one"]:
    """The weighting function W(n): the distance of each bin, rising, `bins` + 1 values, 0 in the middle.

    `bins`: an even number of at least 4. `reach`: the distance, in sides, of the last bins but one; the outermost
    are twice as far. `scale`: a larger one makes bins finer around 0.
    """
    far = reach.abs() * scale.abs()
    step = (far + 1) ** (2 / (bins - 2))
    outwards = step ** torch.arange(1, bins // 2, device=reach.device) - 1
    return torch.cat((-2 * far, -outwards.flip(0), torch.zeros_like(far), outwards, 2 * far))


def expected_distances(
    edge_logits: Float[Tensor, "*queries 4 bins"], distances: Float[Tensor, "bins"]
) -> Float[Tensor, "*queries 4"]:
    """The mean distance of each edge's distribution, in at least float32."""
    dtype = torch.promote_types(edge_logits.dtype, torch.float32)
    return edge_logits.softmax(-1, dtype=dtype) @ distances.to(dtype)


def distances_to_boxes(
    references_cxcywh: Float[Tensor, "*queries 4"], distances: Float[Tensor, "*queries 4"], scale: Float[Tensor, "1"]
) -> Float[Tensor, "*queries 4"]:
    """Centre and size of the boxes whose left, upper, right and lower edges have these distances."""
    centres, sides = references_cxcywh[..., :2], references_cxcywh[..., 2:]
    scale = scale.abs()
    unit = sides / scale
    first = centres - (0.5 * scale + distances[..., :2]) * unit
    last = centres + (0.5 * scale + distances[..., 2:]) * unit
    return xyxy_to_cxcywh(torch.cat((first, last), dim=-1))


def boxes_to_distances(
    references_cxcywh: Float[Tensor, "*#queries 4"], boxes_xyxy: Float[Tensor, "*#queries 4"], scale: Float[Tensor, "1"]
) -> Float[Tensor, "*queries 4"]:
    """The distances of the edges of boxes: the inverse of `distances_to_boxes`."""
    centres, sides = references_cxcywh[..., :2], references_cxcywh[..., 2:]
    scale = scale.abs()
    unit = sides / scale + 1e-16  # a side of the reference may be 0
    first = (centres - boxes_xyxy[..., :2]) / unit
    last = (boxes_xyxy[..., 2:] - centres) / unit
    return torch.cat((first, last), dim=-1) - 0.5 * scale


def neighbouring_bins(
    edges: Float[Tensor, "*edges"], distances: Float[Tensor, "bins"]
) -> tuple[Int64[Tensor, "*edges"], Float[Tensor, "*edges"]]:
    """The bin below the distance of each edge, and the weight in [0, 1] of the bin above; distances beyond the
    outermost bins count as those."""
    below = (torch.searchsorted(distances, edges.detach().contiguous(), right=True) - 1).clamp(0, len(distances) - 2)
    low, high = distances[below], distances[below + 1]
    return below, ((edges - low) / (high - low)).clamp(0, 1)
