"""Running a model: as prediction needs it, on a device, in eval mode, on an image or on noise."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.labels import Labels, LabelsByTask
from backbonekit.contract.predictions import ModelOutput, Prediction, Scoring
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError
from backbonekit.image_processing.batch import canvas_for
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.image_processing.resize import crop_box, resized_size


class Predictor(Protocol):
    """A composed model. `tasks`: by name, '' for the only one of a model whose tasks have no names."""

    processor: ImageProcessor

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    def task_labels(self, task: str = "") -> Labels | None: ...

    def result_labels(self, task: str | None = None) -> Labels | LabelsByTask | None: ...

    def scoring(self, task: str = "") -> Scoring | None: ...

    def prediction_kind(self, task: str = "") -> type[Prediction] | None: ...

    def __call__(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput: ...


def run(model: Any, batch: Mapping[str, Any]) -> dict[str, Prediction]:
    """The model's predictions by task, on its own device and in its own precision."""
    values, mask = on_model(model, batch)
    with torch.inference_mode():
        predictions = model(values, mask).predictions
    if predictions is None:
        return {}
    return predictions if not isinstance(predictions, Prediction) else {"": predictions}


def on_model(model: Any, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """`pixel_values` and `pixel_mask` of a batch, on the model's device, the values in its precision."""
    parameter = next((value for value in model.parameters() if value.is_floating_point()), None)
    values, mask = batch["pixel_values"], batch["pixel_mask"]
    if parameter is not None:
        values = values.to(parameter.device, parameter.dtype)
        mask = None if mask is None else mask.to(parameter.device)
    return values, mask


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module is in its own mode again, so frozen parts are left in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def pick_device(name: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:1`, `mps`, ... Raises RecipeError when there is no such device here."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"device={name}: no device is called so; use cpu, cuda, cuda:1 or mps.") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"{count} CUDA device(s), cuda:0 to cuda:{count - 1}" if count else "no CUDA device"
            raise RecipeError(f"device={name}: this machine has {have}; device=cpu always works.")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError(f"device={name}: this machine has no Metal device; device=cpu always works.")
    elif device.type not in ("cpu", "mps", "xpu"):
        raise RecipeError(f"device={name}: models run on cpu, cuda, mps or xpu.")
    elif device.type == "xpu" and not torch.xpu.is_available():
        raise RecipeError(f"device={name}: this machine has no XPU device; device=cpu always works.")
    return device


PHOTOGRAPH = (480, 640)  # (height, width) of most images of COCO


def sample_input(
    model: ComposedModel, *, image: str | Path | None = None, seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """`pixel_values` [1, channels, height, width] and `pixel_mask` [1, height, width] or None, on the model's device.

    From an image through the model's own processor; else noise of the size that `predict` makes of a photograph.
    """
    device = next(model.parameters()).device
    if image is not None:
        batch = model.processor([image])
        mask = batch["pixel_mask"]
        return batch["pixel_values"].to(device), None if mask is None else mask.to(device)
    generator = torch.Generator().manual_seed(seed)
    height, width = predicted_size(PHOTOGRAPH, model.processor.processing)
    return torch.randn(1, model.recipe.backbone.in_channels, height, width, generator=generator).to(device), None


def predicted_size(original: tuple[int, int], processing: Processing) -> tuple[int, int]:
    """(height, width) that an image of the size `original` has when it enters the model alone."""
    _, _, height, width = crop_box(resized_size(original, processing), processing.crop)
    return canvas_for([(height, width)], processing)


def noise_size(model: ComposedModel) -> tuple[int, int]:
    """(height, width): the fixed size of the recipe's processing, else 224 pixels."""
    processing = model.processor.processing
    return processing.canvas or processing.crop or processing.size or (224, 224)
