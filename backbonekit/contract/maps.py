"""Feature maps and the canvas they were computed on, as tensors."""

from dataclasses import dataclass, field
from typing import Any

import torch.nn.functional as functional
from torch import Tensor

from backbonekit.errors import ContractError


@dataclass(slots=True)
class FeatureMaps:
    """The tensors of a `FeaturePyramid`, in its order.

    `maps`: each [batch, channels, height, width], fine to coarse; in memory mostly channels last, and perhaps a view,
    so `.reshape` instead of `.view`, and nothing written in place.
    `extras`: named tensors beside the levels, such as `mask_features` [batch, channels, height, width].
    `prefix_tokens`: per level, [batch, tokens, channels] from a transformer, or None; empty when there are none at all.
    """

    maps: tuple[Tensor, ...]
    extras: dict[str, Tensor] = field(default_factory=dict)
    prefix_tokens: tuple[Tensor | None, ...] = ()


@dataclass(slots=True)
class Canvas:
    """The padded image that a batch was computed on.

    `size`: (height, width) in pixels of the padded input.
    `pixel_mask`: bool [batch, height, width], True where a real pixel is; None when nothing is padded.
    """

    size: tuple[int, int]
    pixel_mask: Tensor | None = None

    def mask_at(self, height: int, width: int) -> Tensor | None:
        """The mask on a map's grid, bool [batch, height, width], by nearest sampling; None when nothing is padded."""
        if self.pixel_mask is None:
            return None
        mask = self.pixel_mask[:, None].float()
        return functional.interpolate(mask, size=(height, width), mode="nearest")[:, 0] > 0.5


def check_pixel_values(pixel_values: Any) -> None:
    """Raises ContractError for images that no processor has prepared: files, Pillow, NumPy, lists, whole numbers."""
    if isinstance(pixel_values, Tensor) and pixel_values.is_floating_point():
        return
    is_tensor = isinstance(pixel_values, Tensor)
    given = f"a tensor of {pixel_values.dtype}" if is_tensor else f"an object of type {type(pixel_values).__name__}"
    raise ContractError(
        f"pixel_values is a normalised float tensor [batch, channels, height, width]; given: {given}. The fix: "
        "model(**model.processor(images)), or model.predict(images), which prepares them too."
    )
