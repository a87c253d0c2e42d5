"""Reading a pickled checkpoint, once, to write it again as safetensors. Nothing else in the project opens a pickle."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.errors import StorageError, WeightsError

# Where training programs keep the weights inside their checkpoints, the averaged ones first, as these are the ones that
# are published.
_CONTAINERS = ("model_ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "module", "weights", "teacher")
# What wrappers put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.bin`, `.pth`, `.pt` or `.ckpt` file, by their names without the prefixes of wrappers.

    Only tensors and plain containers are unpickled (torch's `weights_only`). Raises StorageError for a file that is not
    there, WeightsError for one that holds anything else.
    """
    if not path.is_file():
        raise StorageError(f"The file {str(path)!r} does not exist.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old formats; reading them is the point
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{path} holds more than tensors, or is damaged, and is not opened: {reason[:200]} The fix: load it where"
            " it was made, and save its state_dict alone."
        ) from error
    tensors = _tensors_in(content)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors by name{_top_keys(content)}.")
    return {_unwrapped(name): tensor for name, tensor in tensors.items()}


def _tensors_in(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for name in _CONTAINERS:
        inner = _tensors_in(content.get(name))
        if inner:
            return inner
    return {str(name): value.detach() for name, value in content.items() if isinstance(value, Tensor)}


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "") if wrapper != "module." else name.removeprefix(wrapper)
    return name


def _top_keys(content: Any) -> str:
    if not isinstance(content, Mapping):
        return ""
    return f"; its keys are {', '.join(map(repr, list(content)[:8]))}"
