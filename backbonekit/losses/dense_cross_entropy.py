"""Semantic segmentation's loss: cross-entropy of every pixel, with auxiliary predictions and an optional dice loss."""

from typing import Annotated

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability, Range, Weight
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.targets import IGNORE_LABEL, Targets
from backbonekit.errors import ContractError, RecipeError
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.resize import resize_bilinear
from backbonekit.ops.targets import check_labels, images_at

Label = Annotated[int, Range(-1, 100_000)]
SMOOTH = 1e-6  # in the dice loss: a class of one pixel still counts, and the sum of no pixels can be divided by


class DenseCrossEntropy(nn.Module):
    """Cross-entropy with the key `segmentation`, averaged over all pixels of the batch that count.

    A pixel counts unless it is padding or has the ignored label. Logits of another size are resized to the canvas.
    `auxiliary_weight`: weight of each auxiliary prediction; that of the main one is 1.
    `label_smoothing`: share of the target that is spread evenly over all classes; a larger one makes predictions less
    confident. `dice_weight`: weight of the dice loss of the main prediction, in which a small class counts as much as a
    large one; 0 turns it off. `ignore_label`: the label of pixels without a class; outside the classes.

    Source: torchvision/references/segmentation/train.py: criterion (auxiliary weight 0.5).
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        auxiliary_weight: Weight = 0.5,
        label_smoothing: Probability = 0.0,
        dice_weight: Weight = 0.0,
        ignore_label: Label = IGNORE_LABEL,
    ) -> None:
        super().__init__()
        if 0 <= ignore_label < num_classes:
            raise RecipeError(
                f"dense_cross_entropy: ignore_label={ignore_label} is one of the {num_classes} classes, so that class "
                f"would never be learned. The fix: ignore_label=-1, and -1 for the ignored pixels of the targets."
            )
        self.num_classes = num_classes
        self.auxiliary_weight = auxiliary_weight
        self.label_smoothing = label_smoothing
        self.dice_weight = dice_weight
        self.ignore_label = ignore_label

    def forward(self, prediction: DenseLogits, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns {`cross_entropy`}, {`dice`} where it has a weight, and {`auxiliary_cross_entropy`} where the
        prediction has auxiliary logits: scalars, weighted; 0 where no pixel counts."""
        given = {index: target["segmentation"] for index, target in enumerate(targets) if "segmentation" in target}
        known = list(given)
        labels = self._labels(given, canvas, prediction.logits.device) if given else None
        terms = {"cross_entropy": self._term(prediction.logits, labels, known)}
        if self.dice_weight:
            terms["dice"] = self.dice_weight * self._dice(prediction.logits, labels, known)
        if prediction.auxiliary is not None:
            auxiliary = [self._term(logits, labels, known) for logits in prediction.auxiliary]
            terms["auxiliary_cross_entropy"] = self.auxiliary_weight * sum(auxiliary[1:], auxiliary[0])
        return terms

    def _labels(self, segmentations: dict[int, Tensor], canvas: Canvas, device: torch.device) -> Tensor:
        """[images that have the key, height, width] on the canvas; padding carries the ignored label."""
        height, width = canvas.size
        labels = []
        for index, segmentation in segmentations.items():
            given = segmentation.to(device).long()
            if given.ndim != 2:
                raise ContractError(f"targets[{index}]: segmentation must be [height, width], got {list(given.shape)}.")
            rows, columns = given.shape
            if rows > height or columns > width:
                raise ContractError(
                    f"targets[{index}]: segmentation is {rows}x{columns}, larger than the input's {height}x{width}; "
                    f"resize and pad it together with its image (the processor does)."
                )
            check_labels(given, self.num_classes, key="segmentation", ignore_label=self.ignore_label)
            labels.append(functional.pad(given, (0, width - columns, 0, height - rows), value=self.ignore_label))
        stacked = torch.stack(labels)
        if canvas.pixel_mask is not None:
            stacked = stacked.masked_fill(~images_at(canvas.pixel_mask, list(segmentations)), self.ignore_label)
        return stacked

    def _term(
        self,
        logits: Float[Tensor, "batch classes height width"],
        labels: Int[Tensor, "known canvas_height canvas_width"] | None,
        known: list[int],
    ) -> Tensor:
        if labels is None:
            return zero_loss(logits)
        logits = _on_canvas(logits, labels, known)
        total = functional.cross_entropy(
            logits, labels, ignore_index=self.ignore_label, label_smoothing=self.label_smoothing, reduction="sum"
        )
        # The count is at least one: the loss of a batch without a pixel that counts is 0, not NaN.
        return total / (labels != self.ignore_label).sum().clamp(min=1)

    def _dice(self, logits: Tensor, labels: Tensor | None, known: list[int]) -> Tensor:
        if labels is None:
            return zero_loss(logits)
        return dense_dice(_on_canvas(logits, labels, known), labels, self.ignore_label)


def _on_canvas(logits: Tensor, labels: Tensor, known: list[int]) -> Tensor:
    """The logits of the images `known`, at the size of their labels."""
    logits = upcast_to_float32(images_at(logits, known))
    if logits.shape[-2:] == labels.shape[-2:]:
        return logits
    return resize_bilinear(logits, (labels.shape[-2], labels.shape[-1]))


def dense_dice(
    logits: Float[Tensor, "batch classes height width"], labels: Int[Tensor, "batch height width"], ignore_label: int
) -> Float[Tensor, ""]:
    """The dice loss, 1 - soft dice of each class over all pixels of the batch that count, averaged over the classes
    that the labels hold; in [0, 1], and 0 where no pixel counts.

    Source: Milletari et al., "V-Net", 2016, section 3, with sums instead of squares below; over the batch and without
    absent classes as in segmentation_models.pytorch, losses/dice.py.
    """
    num_classes = logits.shape[1]
    counts = labels != ignore_label
    # Ignored pixels are counted in one more class, which is cut off. No one-hot map is made, which would be large.
    classes = labels.masked_fill(~counts, num_classes).flatten()
    shares = logits.softmax(dim=1).masked_fill(~counts[:, None], 0)
    right = shares.gather(1, labels.masked_fill(~counts, 0)[:, None]).flatten()
    overlap = shares.new_zeros(num_classes + 1).index_add(0, classes, right)[:-1]
    target = shares.new_zeros(num_classes + 1).index_add(0, classes, shares.new_ones(()).expand_as(right))[:-1]
    dice = 2 * overlap / (shares.sum((0, 2, 3)) + target + SMOOTH)
    present = target > 0
    return ((1 - dice) * present).sum() / present.sum().clamp(min=1)
