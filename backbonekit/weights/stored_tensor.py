"""A tensor that is known but not read."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Shape and dtype are known now; `load` reads it. `stored_as`: its names in the file, for error sentences.

    `read_into`: reads it into a contiguous tensor of that shape and type, without keeping any of the file in memory.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    stored_as: tuple[str, ...] = ()
    read_into: Callable[[Tensor], None] | None = None

    def copy_to(self, place: Tensor) -> None:
        """`place`: contiguous, of this shape."""
        if self.read_into is not None and place.dtype == self.dtype:
            self.read_into(place)
        else:
            place.copy_(self.load())


def stored(name: str, tensor: Tensor) -> StoredTensor:
    """A tensor that is in memory already, in the same form."""
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor, (name,))


def stand_in() -> StoredTensor:
    """An empty one, for a tensor that a checkpoint lacks and that filling is to adapt."""
    return StoredTensor((0,), torch.float32, lambda: torch.empty(0))
