"""`PreparedImages`: what an image processor returns under transformers' names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.mapping import FieldMapping, register_output
from backbonekit.errors import ContractError


@register_output
@dataclass(eq=False)
class PreparedImages(FieldMapping):
    """`pixel_values`: float [batch, channels, height, width].

    `pixel_mask`: int64 [batch, height, width], 1 where a real pixel is. `mask_labels`: for each image float
    [masks, height, width], 1 inside and 0 elsewhere, padding included. `class_labels`: for each image int64 [masks].
    `labels`: int64 [batch, height, width], or for each image what `detection_labels` describes. What is None is
    no key.

    With `return_tensors=None`, `pixel_values`, `pixel_mask` and `labels` are lists with one array for each image.
    """

    pixel_values: Tensor | list[Tensor]
    pixel_mask: Tensor | list[Tensor] | None = None
    mask_labels: list[Tensor] | None = None
    class_labels: list[Tensor] | None = None
    labels: Tensor | list[Tensor] | list[dict[str, Tensor]] | None = None

    def to(
        self,
        *targets: str | int | torch.device | torch.dtype,
        device: str | int | torch.device | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> "PreparedImages":
        """The same on a device, in a floating dtype, or both: `to("cuda")`, `to(torch.float16)`, `to("cuda",
        torch.float16)`. Whole numbers and masks of integers keep their dtype."""
        for target in targets:
            if isinstance(target, torch.dtype):
                dtype = target
            else:
                device = target
        if dtype is not None and not dtype.is_floating_point:
            raise ContractError(f"images are floating-point numbers; they cannot be cast to {dtype}.")

        def moved(tensor: Tensor) -> Tensor:
            cast = dtype if tensor.is_floating_point() else None
            return tensor.to(device=device, dtype=cast, non_blocking=non_blocking)

        return self._mapped(moved)

    def to_numpy(self) -> "PreparedImages":
        """The same as NumPy arrays."""
        return self._mapped(lambda tensor: tensor.numpy())

    def _mapped(self, change: Callable[[Tensor], Any]) -> "PreparedImages":
        def of(value: Any) -> Any:
            if isinstance(value, list):
                return [of(one) for one in value]
            if isinstance(value, dict):
                return {name: of(one) for name, one in value.items()}
            return change(value)

        return PreparedImages(**{name: of(value) for name, value in self.items()})
