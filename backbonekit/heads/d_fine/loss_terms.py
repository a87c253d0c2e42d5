"""How far predicted distributions of edges are from the true edges, and from those of the last layer.

Source: Peng et al., "D-FINE" (2024), section 4, equations 4 to 6; Li et al., "Generalized Focal Loss" (2020), section
3.2, for the loss of two neighbouring bins; github.com/Peterande/D-FINE, src/zoo/dfine/dfine_criterion.py, loss_local.
"""

import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.ops.boxes import corners_of
from backbonekit.ops.edge_distributions import distances_to, nearest_bins

SOFTENING = 5.0  # of both distributions when they are compared; the loss is multiplied by its square


def edge_term(
    edge_logits: Float[Tensor, "*queries 4 bins"],
    references_cxcywh: Float[Tensor, "*queries 4"],
    wanted_cxcywh: Float[Tensor, "*queries 4"],
    quality: Float[Tensor, "*queries"],
    *,
    distances: Float[Tensor, "bins"],
    scale: Float[Tensor, "1"],
) -> Float[Tensor, "*queries"]:
    """Of every query the cross-entropy of its four edges with the two bins around each true one, times `quality`.

    `quality`: how well its box is already, which is how much it counts. `distances`: what the bins stand for.
    """
    wanted = distances_to(references_cxcywh.detach(), corners_of(wanted_cxcywh), scale)
    below, share = nearest_bins(wanted, distances)
    likelihood = edge_logits.log_softmax(-1)
    at_below = likelihood.gather(-1, below[..., None])[..., 0]
    at_above = likelihood.gather(-1, below[..., None] + 1)[..., 0]
    return -(at_below * (1 - share) + at_above * share).sum(-1) * quality


def distillation_term(
    edge_logits: Float[Tensor, "layers rows queries 4 bins"],
    last_edge_logits: Float[Tensor, "rows queries 4 bins"],
    last_class_logits: Float[Tensor, "rows queries classes"],
    quality: Float[Tensor, "layers rows queries"],
    is_matched: Bool[Tensor, "layers rows queries"],
) -> Float[Tensor, "layers"]:
    """How far the distributions of earlier layers are from the last one's, which learns nothing from it.

    A matched query counts as much as its box overlaps (`quality`), another as much as the last layer is sure of some
    class. The means over matched and other queries are mixed by the roots of how many there are.
    """
    teacher = (last_edge_logits.detach() / SOFTENING).log_softmax(-1)
    student = (edge_logits / SOFTENING).log_softmax(-1)
    divergence = functional.kl_div(student, teacher.expand_as(student), reduction="none", log_target=True).sum(-1)
    sureness = last_class_logits.detach().sigmoid().amax(-1)
    weights = quality.where(is_matched, sureness) * SOFTENING**2
    # losses: [layers, rows, queries], the mean over the four edges
    losses = weights * divergence.mean(-1)
    matched = is_matched.flatten(1).sum(1).to(losses.dtype)
    others = (~is_matched).flatten(1).sum(1).to(losses.dtype)
    mean_matched = losses.where(is_matched, 0.0).flatten(1).sum(1) / matched.clamp(min=1)
    mean_others = losses.where(~is_matched, 0.0).flatten(1).sum(1) / others.clamp(min=1)
    roots = matched.sqrt() + others.sqrt()
    return (mean_matched * matched.sqrt() + mean_others * others.sqrt()) / roots.clamp(min=1)
