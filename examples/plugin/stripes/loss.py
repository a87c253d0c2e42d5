"""The loss of the head: one minus the overlap of each class, on soft predictions."""

from typing import ClassVar

import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, IgnoreLabel, Weight
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.targets import Reads, Targets
from backbonekit.losses.class_maps import read_class_maps
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.targets import images_at


class SoftDice(nn.Module):
    """Soft dice loss with the key `segmentation`, over the pixels of the batch that count, averaged over all classes.

    `smoothing`: pixels added to the overlap and to the whole, so that a class without pixels has a loss near 0.
    """

    reads: ClassVar[Reads] = (("segmentation",),)  # the keys of a target that it learns from

    def __init__(
        self, *, num_classes: Classes, smoothing: Weight = 1.0, ignore_label: IgnoreLabel | None = None
    ) -> None:
        # `num_classes` and `ignore_label` are given by wiring: the head's and the processing's.
        super().__init__()
        self.num_classes = num_classes
        self.smoothing = smoothing
        self.ignore_label = ignored_label(ignore_label, num_classes)
        self.has_assumed_label = ignore_label is None

    def forward(self, prediction: DenseLogits, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns `dice`; 0 where no image has a segmentation."""
        labels, known = read_class_maps(
            targets,
            canvas,
            num_classes=self.num_classes,
            ignore_label=self.ignore_label,
            is_assumed=self.has_assumed_label,
            device=prediction.logits.device,
        )
        if labels is None:
            return {"dice": zero_loss(prediction)}
        counts = (labels != self.ignore_label)[:, None]
        shares = images_at(prediction.logits, known).softmax(dim=1) * counts
        true = functional.one_hot(labels.clamp(0, self.num_classes - 1), self.num_classes).movedim(-1, 1) * counts
        overlap = (shares * true).sum(dim=(0, 2, 3))
        whole = shares.sum(dim=(0, 2, 3)) + true.sum(dim=(0, 2, 3))
        return {"dice": (1 - (2 * overlap + self.smoothing) / (whole + self.smoothing)).mean()}
