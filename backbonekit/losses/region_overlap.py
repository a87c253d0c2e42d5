"""Losses of the overlap of regions: dice and Tversky, in which a small class counts as much as a large one."""

from typing import NamedTuple

from jaxtyping import Float, Int, Num
from torch import Tensor

SMOOTH = 1e-6  # a class of one pixel still counts, and the sum of no pixels can be divided by


class ClassSums(NamedTuple):
    """Sums over all pixels of the batch that count, by class. `overlap`: of the probabilities where the class is right.
    `predicted`: of the probabilities everywhere. `target`: the number of pixels of the class."""

    overlap: Float[Tensor, "classes"]
    predicted: Float[Tensor, "classes"]
    target: Float[Tensor, "classes"]


def class_sums(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"], ignore_label: int
) -> ClassSums:
    """The sums of a softmax over the classes."""
    num_classes = logits.shape[1]
    counts = labels != ignore_label
    # Ignored pixels are counted in one more class, which is cut off. No one-hot map is made, which would be large.
    classes = labels.masked_fill(~counts, num_classes).flatten()
    shares = logits.softmax(dim=1).masked_fill(~counts[:, None], 0)
    right = shares.gather(1, labels.masked_fill(~counts, 0)[:, None]).flatten()
    overlap = shares.new_zeros(num_classes + 1).index_add(0, classes, right)[:-1]
    target = shares.new_zeros(num_classes + 1).index_add(0, classes, shares.new_ones(()).expand_as(right))[:-1]
    return ClassSums(overlap, shares.sum((0, 2, 3)), target)


def dice_loss(sums: ClassSums) -> Float[Tensor, ""]:
    """1 - soft dice of each class, averaged over the classes that the labels hold; in [0, 1], 0 where they hold none.

    Source: Milletari et al., "V-Net", 2016, section 3, with sums instead of squares below; over the batch and without
    absent classes as in segmentation_models.pytorch, losses/dice.py.
    """
    dice = 2 * sums.overlap / (sums.predicted + sums.target + SMOOTH)
    return mean_of_present(1 - dice, sums.target)


def tversky_loss(sums: ClassSums, *, alpha: float, beta: float) -> Float[Tensor, ""]:
    """1 - Tversky index, averaged as `dice_loss`, which it equals for alpha = beta = 0.5.

    `alpha` weighs what was predicted beyond the class, `beta` what was missed of it.

    Source: Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks",
    2017, equation 3.
    """
    beyond, missed = sums.predicted - sums.overlap, sums.target - sums.overlap
    index = sums.overlap / (sums.overlap + alpha * beyond + beta * missed + SMOOTH)
    return mean_of_present(1 - index, sums.target)


def mean_of_present(losses: Float[Tensor, "classes"], pixels: Num[Tensor, "classes"]) -> Float[Tensor, ""]:
    """The mean over the classes that have a pixel. `pixels`: how many each class has."""
    present = pixels > 0
    return (losses * present).sum() / present.sum().clamp(min=1)
