"""Edges of boxes as distributions over bins, fine around no change and coarse far away.

A distance counts sides of a reference box, times `scale`, from where the reference has that edge; positive is outwards.

Source: Peng et al., "D-FINE: Redefine Regression Task in DETRs as Fine-grained Distribution Refinement" (2024),
section 4.1, equations 2 and 3; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_utils.py.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from backbonekit.ops.boxes import centres_of


def bin_distances(bins: int, *, reach: Float[Tensor, "1"], scale: Float[Tensor, "1"]) -> Float[Tensor, "bins_and_one"]:
    """What each bin stands for, rising: `bins` + 1 distances, in the middle 0, next to it by powers.

    `bins`: an even number of at least 4. `reach`: how many sides the outer bins but one move an edge; the outermost
    move it twice as far. `scale`: a larger one makes bins finer around 0.
    """
    far = reach.abs() * scale.abs()
    step = (far + 1) ** (2 / (bins - 2))
    outwards = step ** torch.arange(1, bins // 2, device=reach.device) - 1
    return torch.cat((-2 * far, -outwards.flip(0), torch.zeros_like(far), outwards, 2 * far))


def expected_distances(
    edge_logits: Float[Tensor, "*queries 4 bins"], distances: Float[Tensor, "bins"]
) -> Float[Tensor, "*queries 4"]:
    """The mean distance of each edge, at least in float32."""
    dtype = torch.promote_types(edge_logits.dtype, torch.float32)
    return edge_logits.softmax(-1, dtype=dtype) @ distances.to(dtype)


def boxes_at(
    references_cxcywh: Float[Tensor, "*queries 4"], distances: Float[Tensor, "*queries 4"], scale: Float[Tensor, "1"]
) -> Float[Tensor, "*queries 4"]:
    """Centre and size of the boxes whose left, upper, right and lower edge are at these distances."""
    centres, sides = references_cxcywh[..., :2], references_cxcywh[..., 2:]
    scale = scale.abs()
    unit = sides / scale
    first = centres - (0.5 * scale + distances[..., :2]) * unit
    last = centres + (0.5 * scale + distances[..., 2:]) * unit
    return centres_of(torch.cat((first, last), dim=-1))


def distances_to(
    references_cxcywh: Float[Tensor, "*#queries 4"], boxes_xyxy: Float[Tensor, "*#queries 4"], scale: Float[Tensor, "1"]
) -> Float[Tensor, "*queries 4"]:
    """At which distances the edges of the boxes are: the inverse of `boxes_at`."""
    centres, sides = references_cxcywh[..., :2], references_cxcywh[..., 2:]
    scale = scale.abs()
    unit = sides / scale + 1e-16  # against a reference without a side
    first = (centres - boxes_xyxy[..., :2]) / unit
    last = (boxes_xyxy[..., 2:] - centres) / unit
    return torch.cat((first, last), dim=-1) - 0.5 * scale


def nearest_bins(
    wanted: Float[Tensor, "*edges"], distances: Float[Tensor, "bins"]
) -> tuple[Int64[Tensor, "*edges"], Float[Tensor, "*edges"]]:
    """The bin below each distance, and the share in [0, 1] that belongs to the bin above. Beyond the ends: the ends."""
    below = (torch.searchsorted(distances, wanted.detach().contiguous(), right=True) - 1).clamp(0, len(distances) - 2)
    low, high = distances[below], distances[below + 1]
    return below, ((wanted - low) / (high - low)).clamp(0, 1)
