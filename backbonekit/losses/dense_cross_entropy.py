"""Cross-entropy of a class for every pixel, with auxiliary predictions."""

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
from backbonekit.losses.dense_dice import dense_dice
from backbonekit.losses.present_images import images_at
from backbonekit.losses.zero import zero_of
from backbonekit.ops.label_check import check_labels
from backbonekit.ops.precision import at_least_single
from backbonekit.ops.resize import resize_bilinear

Label = Annotated[int, Range(-1, 100_000)]


class DenseCrossEntropy(nn.Module):
    """Cross-entropy with the key `segmentation`, averaged over all pixels of the batch that count.

    A pixel counts unless it is padding or has the ignored label. Logits of another size are resized to the canvas.
    `auxiliary_weight`: of each auxiliary answer beside the main one's 1.
    `label_smoothing`: share of the target spread evenly over all classes; larger makes answers less sure of themselves.
    `dice_weight`: of the dice loss of the main answer, which counts a small class as much as a large one; 0 has none.
    `ignore_label`: the label of pixels that nobody knows; outside the classes.

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
                f"would never be learned; set ignore_label=-1 and mark the pixels of the targets so."
            )
        self.num_classes = num_classes
        self.auxiliary_weight = auxiliary_weight
        self.label_smoothing = label_smoothing
        self.dice_weight = dice_weight
        self.ignore_label = ignore_label

    def forward(self, prediction: DenseLogits, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """{`cross_entropy`}, {`dice`} where it has a weight, and {`auxiliary_cross_entropy`} where the prediction has
        auxiliary logits: scalars, weighted; 0 where no pixel counts."""
        truth = {index: target["segmentation"] for index, target in enumerate(targets) if "segmentation" in target}
        known = list(truth)
        labels = self._labels(truth, canvas, prediction.logits.device) if truth else None
        terms = {"cross_entropy": self._term(prediction.logits, labels, known)}
        if self.dice_weight:
            terms["dice"] = self.dice_weight * self._dice(prediction.logits, labels, known)
        if prediction.auxiliary is not None:
            auxiliary = [self._term(logits, labels, known) for logits in prediction.auxiliary]
            terms["auxiliary_cross_entropy"] = self.auxiliary_weight * sum(auxiliary[1:], auxiliary[0])
        return terms

    def _labels(self, truth: dict[int, Tensor], canvas: Canvas, device: torch.device) -> Tensor:
        """[images that have the key, height, width] on the canvas; padding carries the ignored label."""
        height, width = canvas.size
        labels = []
        for index, segmentation in truth.items():
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
            stacked = stacked.masked_fill(~images_at(canvas.pixel_mask, list(truth)), self.ignore_label)
        return stacked

    def _term(
        self,
        logits: Float[Tensor, "batch classes height width"],
        labels: Int[Tensor, "known canvas_height canvas_width"] | None,
        known: list[int],
    ) -> Tensor:
        if labels is None:
            return zero_of(logits)
        logits = _on_canvas(logits, labels, known)
        total = functional.cross_entropy(
            logits, labels, ignore_index=self.ignore_label, label_smoothing=self.label_smoothing, reduction="sum"
        )
        # A sum over a count that is at least one: a batch without a pixel that counts gives 0, not NaN.
        return total / (labels != self.ignore_label).sum().clamp(min=1)

    def _dice(self, logits: Tensor, labels: Tensor | None, known: list[int]) -> Tensor:
        if labels is None:
            return zero_of(logits)
        return dense_dice(_on_canvas(logits, labels, known), labels, self.ignore_label)


def _on_canvas(logits: Tensor, labels: Tensor, known: list[int]) -> Tensor:
    """The logits of the images that have a truth, at its size."""
    logits = at_least_single(images_at(logits, known))
    if logits.shape[-2:] == labels.shape[-2:]:
        return logits
    return resize_bilinear(logits, (labels.shape[-2], labels.shape[-1]))
