"""Where a model's weights are, and of which type."""

from typing import TypeVar

import torch
from torch import nn

from backbonekit.assembly.inference import pick_device
from backbonekit.errors import ContractError

Device = str | torch.device | None
DType = str | torch.dtype | None
Module = TypeVar("Module", bound=nn.Module)


def read_dtype(given: DType) -> torch.dtype | None:
    """`float16`, `torch.float16` or a type of torch; None stays None. Raises ContractError for what is no type of
    weights."""
    if given is None:
        return None
    found = getattr(torch, given.removeprefix("torch."), None) if isinstance(given, str) else given
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ContractError(
            f"dtype={str(given)[:60]!r} is no type of weights. The fix: float32, float16, bfloat16 or float64."
        )
    return found


def read_device(given: Device) -> torch.device | None:
    """A device of this machine, or `meta`: shapes and types without memory; None: where a model is constructed, which
    is the CPU outside `with torch.device(...)`. Raises RecipeError."""
    if given is None:
        return None
    name = str(given)
    return torch.device("meta") if name == "meta" else pick_device(name)


def placed(model: Module, device: torch.device | None, dtype: torch.dtype | None) -> Module:
    """The model itself, on the device and in the type; None leaves it as it is."""
    return model.to(device=device, dtype=dtype)
