"""Models that predict by a rule, so that a test can compute the expected result from the image."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import (
    BoxQueries,
    ClassScores,
    DenseDepth,
    DenseLogits,
    MaskQueries,
    ModelOutput,
    Prediction,
)
from backbonekit.contract.processing import Processing
from backbonekit.image_processing.processor import ImageProcessor

PLAIN = Processing(shortest_edge=32, longest_edge=64, size_divisor=8, mean=(0.0,) * 3, std=(1.0,) * 3)
PREDICTIONS = {
    "masks": MaskQueries,
    "dense": DenseLogits,
    "depth": DenseDepth,
    "boxes": BoxQueries,
    "classes": ClassScores,
    None: None,
}
LABELS = Labels(("dark", "bright"), things=frozenset({1}))


def brightness(pixel_values: Tensor) -> Tensor:
    """[batch, height / 4, width / 4], above 0 where the image is bright."""
    return functional.avg_pool2d(pixel_values.mean(dim=1, keepdim=True), 4)[:, 0] * 20 - 10


class Head(nn.Module):
    """Tells bright from dark, as the kind of prediction that `kind` names."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.scoring = {"masks": "softmax_with_null", "boxes": "sigmoid"}.get(kind, "softmax")
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, pixel_values: Tensor) -> Prediction:
        bright = brightness(pixel_values) * self.gain
        if self.kind == "masks":
            class_logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]).to(bright).expand(len(bright), 2, 3)
            return MaskQueries(class_logits, torch.stack([-bright, bright], dim=1))
        if self.kind == "dense":
            return DenseLogits(torch.stack([-bright, bright], dim=1))
        if self.kind == "depth":
            return DenseDepth(bright + 10)
        if self.kind == "boxes":
            box = torch.tensor([[0.5, 0.5, 0.5, 0.5]]).to(bright).expand(len(bright), 1, 4)
            return BoxQueries(torch.tensor([[-9.0, 9.0]]).to(bright).expand(len(bright), 1, 2), box)
        mean = bright.mean(dim=(1, 2))
        return ClassScores(torch.stack([-mean, mean], dim=1))


class SmallModel(nn.Module):
    """`kinds`: one prediction, or a dict of several tasks by name."""

    def __init__(
        self, kinds: str | dict[str, str] | None, processing: Processing = PLAIN, labels: Labels | None = LABELS
    ):
        super().__init__()
        named = {"": kinds} if not isinstance(kinds, dict) else kinds
        self.names = list(named)
        self.tasks = named
        self.heads = nn.ModuleList([Head(kind) for kind in named.values() if kind is not None])
        self.processor = ImageProcessor(processing, labels)
        self.labels = labels
        self.weight_report = None
        self.largest_batch = 0
        self.ran_in_training = False

    def scoring(self, task: str = "") -> str | None:
        return self.heads[self.names.index(task)].scoring if len(self.heads) else None

    def task_labels(self, task: str = "") -> Labels | None:
        return self.labels

    def result_labels(self, task: str | None = None) -> Labels | None:
        return self.labels

    def prediction_kind(self, task: str = "") -> type[Prediction] | None:
        return PREDICTIONS[self.tasks[task]]

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
        assert not torch.is_grad_enabled()
        assert pixel_mask is None or pixel_mask.dtype == torch.bool
        self.ran_in_training |= self.training
        self.largest_batch = max(self.largest_batch, len(pixel_values))
        predictions = {name: head(pixel_values) for name, head in zip(self.names, self.heads, strict=True)}
        return ModelOutput((), predictions=predictions.get("", predictions))
