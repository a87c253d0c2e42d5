"""Dice loss of a class for every pixel: how much of each class's region was missed or is too much."""

from jaxtyping import Float, Int
from torch import Tensor

SMOOTH = 1e-6  # a class of one pixel still counts; no class at all does not divide by zero


def dense_dice(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"], ignore_label: int
) -> Float[Tensor, ""]:
    """One less the soft dice of each class that the labels hold, over all pixels of the batch that count, averaged over
    these classes; in [0, 1], and 0 where no pixel counts.

    Source: Milletari et al., "V-Net", 2016, section 3, with sums instead of squares below; over the batch and without
    absent classes as in segmentation_models.pytorch, losses/dice.py.
    """
    num_classes = logits.shape[1]
    counts = labels != ignore_label
    # What is ignored goes to a class of its own, which is cut off; no map of ones and zeros for each class is made.
    classes = labels.masked_fill(~counts, num_classes).flatten()
    shares = logits.softmax(dim=1).masked_fill(~counts[:, None], 0)
    right = shares.gather(1, labels.masked_fill(~counts, 0)[:, None]).flatten()
    overlap = shares.new_zeros(num_classes + 1).index_add(0, classes, right)[:-1]
    true = shares.new_zeros(num_classes + 1).index_add(0, classes, shares.new_ones(()).expand_as(right))[:-1]
    dice = 2 * overlap / (shares.sum((0, 2, 3)) + true + SMOOTH)
    present = true > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
