"""A model as prediction needs it, and how it is run: without gradients, on its own device."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from backbonekit.contract.labels import Labels
from backbonekit.contract.predictions import ModelOutput, Prediction, Scoring
from backbonekit.image_processing.processor import ImageProcessor


class Predictor(Protocol):
    """A composed model. `tasks`: by name, '' for the only one of a model whose tasks have no names."""

    processor: ImageProcessor

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    @property
    def labels(self) -> Labels | None: ...

    def scoring(self, task: str = "") -> Scoring | None: ...

    def prediction_kind(self, task: str = "") -> type[Prediction] | None: ...

    def __call__(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput: ...


def run(model: Any, batch: Mapping[str, Any]) -> dict[str, Prediction]:
    """The model's predictions by task, on its own device and in its own precision."""
    parameter = next((value for value in model.parameters() if value.is_floating_point()), None)
    values, mask = batch["pixel_values"], batch["pixel_mask"]
    if parameter is not None:
        values = values.to(parameter.device, parameter.dtype)
        mask = None if mask is None else mask.to(parameter.device)
    with torch.inference_mode():
        predictions = model(values, mask).predictions
    if predictions is None:
        return {}
    return predictions if not isinstance(predictions, Prediction) else {"": predictions}
