"""A tensor that is known but not read."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Shape and dtype are known now; `load` reads it. `stored_as`: its names in the file, for error sentences."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]
    stored_as: tuple[str, ...] = ()


def stored(name: str, tensor: Tensor) -> StoredTensor:
    """A tensor that is in memory already, in the same form."""
    return StoredTensor(tuple(tensor.shape), tensor.dtype, lambda: tensor, (name,))


def stand_in() -> StoredTensor:
    """An empty one, for a tensor that a checkpoint lacks and that filling is to adapt."""
    return StoredTensor((0,), torch.float32, lambda: torch.empty(0))
