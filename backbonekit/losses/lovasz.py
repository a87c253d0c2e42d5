"""The Lovasz losses: convex surrogates of the intersection over union, which is what segmentations are scored by.

Source: Berman et al., "The Lovasz-Softmax loss", 2018, algorithm 1, equations 8 and 11; over all pixels of the batch,
and over the classes that the labels hold.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backbonekit.losses.region_overlap import mean_of_present


def lovasz_softmax(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"], ignore_label: int
) -> Float[Tensor, ""]:
    """Of several classes: the mean over the classes that have a pixel; in [0, 1], 0 where none has."""
    counts = (labels != ignore_label).flatten()
    shares = logits.softmax(dim=1).transpose(0, 1).flatten(1)
    losses, pixels = [], []
    for number, share in enumerate(shares.unbind()):
        # Class by class: all at once would hold classes x pixels values sorted, and their positions.
        is_class = (labels.flatten() == number) & counts
        errors = (is_class.to(share.dtype) - share).abs().masked_fill(~counts, 0)
        losses.append(_extension(errors, is_class))
        pixels.append(is_class.sum())
    return mean_of_present(torch.stack(losses), torch.stack(pixels))


def lovasz_hinge(
    logits: Float[Tensor, "batch height width"], labels: Int[Tensor, "batch height width"], ignore_label: int
) -> Float[Tensor, ""]:
    """Of one class, whose pixels are labelled 1 and the others 0: the hinge of the margins; 0 where no pixel counts."""
    counts = (labels != ignore_label).flatten()
    is_class = (labels.flatten() == 1) & counts
    sign = torch.where(is_class, 1.0, -1.0).to(logits.dtype)
    errors = (1 - logits.flatten() * sign).masked_fill(~counts, 0)
    return _extension(errors, is_class)


def _extension(errors: Float[Tensor, "pixels"], is_class: Bool[Tensor, "pixels"]) -> Float[Tensor, ""]:
    """The Lovasz extension of the Jaccard loss at the errors; pixels that do not count have error 0 and no class, and
    change nothing, because an error of 0 adds nothing and comes after every larger one."""
    ranked, order = errors.sort(descending=True)
    hits = is_class[order].to(errors.dtype)
    total = hits.sum()
    # jaccard: the loss if exactly the pixels up to each position were wrong
    jaccard = 1 - (total - hits.cumsum(0)) / (total + (1 - hits).cumsum(0))
    steps = jaccard.diff(prepend=jaccard.new_zeros(1))
    return (ranked.relu() * steps.detach()).sum()
