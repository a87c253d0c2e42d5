"""Cross-entropy of one class an image."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability
from backbonekit.contract.predictions import ClassScores
from backbonekit.contract.targets import Targets
from backbonekit.losses.present_images import images_at
from backbonekit.losses.zero import zero_of
from backbonekit.ops.label_check import check_labels
from backbonekit.ops.precision import at_least_single


class CrossEntropy(nn.Module):
    """Cross-entropy with the key `class` of each image, averaged over the images that have it.

    `label_smoothing`: share of the target spread evenly over all classes; larger makes answers less sure of themselves.

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7 (label smoothing).
    """

    def __init__(self, *, num_classes: Classes, label_smoothing: Probability = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing

    def forward(self, prediction: ClassScores, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """{`cross_entropy`}: a scalar, 0 where no image has the key."""
        truth = {index: target["class"] for index, target in enumerate(targets) if "class" in target}
        if not truth:
            return {"cross_entropy": zero_of(prediction)}
        classes = torch.stack([given.reshape(()) for given in truth.values()]).to(prediction.logits.device).long()
        check_labels(classes, self.num_classes, key="class")
        logits = at_least_single(images_at(prediction.logits, list(truth)))
        return {"cross_entropy": functional.cross_entropy(logits, classes, label_smoothing=self.label_smoothing)}
