"""A device by name, checked before anything is moved to it."""

import torch

from backbonekit.errors import RecipeError


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
