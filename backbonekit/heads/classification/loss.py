"""Image classification's loss: cross-entropy with label smoothing; of one class, or of any number an image, binary."""

from typing import ClassVar

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability
from backbonekit.contract.predictions import ClassScores, Scoring
from backbonekit.contract.targets import Reads, Targets
from backbonekit.errors import ContractError
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import check_labels, images_at


class CrossEntropy(nn.Module):
    """Cross-entropy with the key `class` of each image, averaged over the images that have it. A `class` of shape [0]
    is that of an image without one.

    With one class the only logit is read by a sigmoid: `class` is 1 where the image has it and 0 where not, and the
    cross-entropy is the binary one.

    `label_smoothing`: share of the target spread evenly over all classes; a larger one makes predictions
    less confident. `multi_label`: an image has any number of classes: `class` is a vector with 1 for each that it has
    and 0 for each other, and every logit is read by a sigmoid; the loss is the mean over the classes too.

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7 (label smoothing).
    """

    reads: ClassVar[Reads] = (("class",),)

    def __init__(self, *, num_classes: Classes, label_smoothing: Probability = 0.0, multi_label: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.multi_label = multi_label
        self.is_binary = num_classes == 1 and not multi_label

    @property
    def scoring(self) -> Scoring:
        """How the logits that it trains are read."""
        return "sigmoid" if self.multi_label or self.is_binary else "softmax"

    def forward(self, prediction: ClassScores, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns {`cross_entropy`}: a scalar, 0 where no image has the key."""
        given = {
            index: target["class"]
            for index, target in enumerate(targets)
            if "class" in target and target["class"].shape != (0,)
        }
        if not given:
            return {"cross_entropy": zero_loss(prediction)}
        logits = upcast_to_float32(images_at(prediction.logits, list(given)))
        classes = torch.stack([self._checked(index, label) for index, label in given.items()]).to(logits.device)
        if self.multi_label or self.is_binary:
            wanted = classes.to(logits.dtype).reshape(logits.shape)
            wanted = wanted + self.label_smoothing * (0.5 - wanted)
            return {"cross_entropy": functional.binary_cross_entropy_with_logits(logits, wanted)}
        check_labels(classes, self.num_classes, key="class")
        return {"cross_entropy": functional.cross_entropy(logits, classes, label_smoothing=self.label_smoothing)}

    def _checked(self, index: int, label: Tensor) -> Tensor:
        """The class of one image, or with several labels an image a vector."""
        if not self.multi_label:
            if label.numel() != 1:
                raise ContractError(
                    f"targets[{index}]: class has shape {list(label.shape)}; it is the number of the image's class. "
                    f"The fix for images of any number of classes: head.criterion.multi_label=true, and class a vector "
                    f"of {self.num_classes} numbers, 0 or 1."
                )
            label = label.reshape(()).long()
            if self.is_binary:
                check_labels(label, 2, key="class", is_binary=True)
            return label
        if label.shape != (self.num_classes,):
            raise ContractError(
                f"targets[{index}]: class has shape {list(label.shape)}; with multi_label it is a vector of "
                f"{self.num_classes} numbers, 1 for each class of the image and 0 for each other."
            )
        _check_in_unit_range(index, label)
        return label.float()


def _check_in_unit_range(index: int, label: Tensor) -> None:
    """Raises ContractError for a number outside [0, 1]. Checks on the CPU alone, as `check_labels`."""
    if label.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if not ((label >= 0) & (label <= 1)).all():
        raise ContractError(
            f"targets[{index}]: class holds {label.float().min():g} to {label.float().max():g}; with multi_label each "
            f"number says whether the image has the class: 0 or 1."
        )
