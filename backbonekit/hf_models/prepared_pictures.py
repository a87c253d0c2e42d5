"""What an `AutoImageProcessor` returns: a mapping with attributes, made for `model(**inputs)`."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


@register_output
@dataclass(eq=False)
class PreparedPictures(FieldMapping):
    """`pixel_values`: float [batch, channels, height, width].

    `pixel_mask`: int64 [batch, height, width], 1 where a real pixel is. `mask_labels`: for each picture float
    [masks, height, width], 1 inside and 0 elsewhere, padding included. `class_labels`: for each picture int64 [masks].
    What is None is no key.
    """

    pixel_values: Tensor
    pixel_mask: Tensor | None = None
    mask_labels: list[Tensor] | None = None
    class_labels: list[Tensor] | None = None

    def to(self, device: str | torch.device) -> "PreparedPictures":
        """The same on a device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def to_numpy(self) -> "PreparedPictures":
        """The same as NumPy arrays."""
        return self._mapped(lambda tensor: tensor.numpy())

    def _mapped(self, change: Any) -> "PreparedPictures":
        return PreparedPictures(
            **{
                key: [change(one) for one in value] if isinstance(value, list) else change(value)
                for key, value in self.items()
            }
        )
