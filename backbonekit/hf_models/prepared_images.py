"""What an `AutoImageProcessor` returns: a mapping with attributes, made for `model(**inputs)`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output


@register_output
@dataclass(eq=False)
class PreparedImages(FieldMapping):
    """`pixel_values`: float [batch, channels, height, width].

    `pixel_mask`: int64 [batch, height, width], 1 where a real pixel is. `mask_labels`: for each image float
    [masks, height, width], 1 inside and 0 elsewhere, padding included. `class_labels`: for each image int64 [masks].
    `labels`: int64 [batch, height, width], or for each image what `detection_labels` describes. What is None is
    no key.
    """

    pixel_values: Tensor
    pixel_mask: Tensor | None = None
    mask_labels: list[Tensor] | None = None
    class_labels: list[Tensor] | None = None
    labels: Tensor | list[dict[str, Tensor]] | None = None

    def to(self, device: str | torch.device) -> "PreparedImages":
        """The same on a device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def to_numpy(self) -> "PreparedImages":
        """The same as NumPy arrays."""
        return self._mapped(lambda tensor: tensor.numpy())

    def _mapped(self, change: Callable[[Tensor], Any]) -> "PreparedImages":
        def each(labels: list[Tensor] | None) -> list[Any] | None:
            return None if labels is None else [change(one) for one in labels]

        def by_name(labels: Tensor | list[dict[str, Tensor]] | None) -> Any:
            if labels is None or isinstance(labels, Tensor):
                return labels if labels is None else change(labels)
            return [{name: change(one) for name, one in image.items()} for image in labels]

        return PreparedImages(
            pixel_values=change(self.pixel_values),
            pixel_mask=None if self.pixel_mask is None else change(self.pixel_mask),
            mask_labels=each(self.mask_labels),
            class_labels=each(self.class_labels),
            labels=by_name(self.labels),
        )
