"""Something to run a freshly built model on: an image, or noise of a sensible size."""

from pathlib import Path

import torch
from torch import Tensor

from backbonekit.assembly.composed_model import ComposedModel


def sample_input(
    model: ComposedModel, *, image: str | Path | None = None, seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """`pixel_values` [1, channels, height, width] and `pixel_mask` [1, height, width] or None, on the model's device.

    From an image through the model's own processor; else noise of the recipe's fixed size, or 224 pixels.
    """
    device = next(model.parameters()).device
    if image is not None:
        batch = model.processor([image])
        mask = batch["pixel_mask"]
        return batch["pixel_values"].to(device), None if mask is None else mask.to(device)
    generator = torch.Generator().manual_seed(seed)
    height, width = noise_size(model)
    return torch.randn(1, model.recipe.backbone.in_channels, height, width, generator=generator).to(device), None


def noise_size(model: ComposedModel) -> tuple[int, int]:
    """(height, width): the fixed size of the recipe's processing, else 224 pixels."""
    processing = model.processor.processing
    return processing.canvas or processing.crop or processing.size or (224, 224)
