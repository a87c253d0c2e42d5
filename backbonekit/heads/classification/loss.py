"""Image classification's loss: cross-entropy with label smoothing."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.maps import Canvas
from backbonekit.contract.options import Classes, Probability
from backbonekit.contract.predictions import ClassScores
from backbonekit.contract.targets import Targets
from backbonekit.losses.reduction import zero_loss
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import check_labels, images_at


class CrossEntropy(nn.Module):
    """Cross-entropy with the key `class` of each image, averaged over the images that have it.

    `label_smoothing`: share of the target spread evenly over all classes; a larger one makes predictions
    less confident.

    Source: Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7 (label smoothing).
    """

    def __init__(self, *, num_classes: Classes, label_smoothing: Probability = 0.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing

    def forward(self, prediction: ClassScores, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Returns {`cross_entropy`}: a scalar, 0 where no image has the key."""
        given = {index: target["class"] for index, target in enumerate(targets) if "class" in target}
        if not given:
            return {"cross_entropy": zero_loss(prediction)}
        classes = torch.stack([label.reshape(()) for label in given.values()]).to(prediction.logits.device).long()
        check_labels(classes, self.num_classes, key="class")
        logits = upcast_to_float32(images_at(prediction.logits, list(given)))
        return {"cross_entropy": functional.cross_entropy(logits, classes, label_smoothing=self.label_smoothing)}
