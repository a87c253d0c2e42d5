"""The options of `from_pretrained` that are about the loaded model, not about where it is read."""

from collections.abc import Mapping
from typing import Any

import torch

from backbonekit.assembly.placement import DType, read_device, read_dtype
from backbonekit.errors import ContractError

DeviceMap = str | int | torch.device | Mapping[str, Any] | None

# Options of transformers that are not here, and why.
_REFUSED = {
    "adapter_kwargs": "adapters are not read",
    "device": "transformers' name for it is device_map",
    "experts_implementation": "experts are computed in one way",
    "force_download": "a cached file is compared with its commit; delete it from the cache to read it again",
    "from_flax": "weights are read from .safetensors",
    "from_tf": "weights are read from .safetensors",
    "gguf_file": "weights are read from .safetensors",
    "key_mapping": "names of weights are translated by the family",
    "load_in_4bit": "weights are not quantized",
    "load_in_8bit": "weights are not quantized",
    "low_cpu_mem_usage": "weights are always read without a second copy",
    "max_memory": "a model stays on one device",
    "offload_buffers": "a model stays on one device",
    "offload_folder": "a model stays on one device",
    "offload_state_dict": "a model stays on one device",
    "proxies": "the Hub's client reads HTTPS_PROXY",
    "quantization_config": "weights are not quantized",
    "resume_download": "the Hub's client always does",
    "tp_plan": "a model stays on one device",
    "trust_remote_code": "code of a repository is never run",
    "use_auth_token": "its name is now token",
    "use_safetensors": ".safetensors are read, always; backbonekit convert writes them from a .bin",
    "variant": "model.safetensors is read; name a folder that holds the other weights under this name",
    "weights_only": "weights are read from .safetensors, which hold nothing else",
}


def refuse_unsupported(given: Mapping[str, Any]) -> None:
    """Raises ContractError for options of transformers that are not supported, with the reason of each."""
    reasons = [f"{name} ({_REFUSED[name]})" for name in given if name in _REFUSED]
    if reasons:
        raise ContractError(f"from_pretrained does not take {', '.join(reasons)}. The fix: leave it out.")


def one_dtype(dtype: DType, torch_dtype: DType, saved: Any, stored: torch.dtype | None = None) -> torch.dtype | None:
    """The type of the weights: what `dtype` or its older name says; None is float32, in which they are built.

    `auto`: `saved`, the `dtype` or `torch_dtype` of `config.json`; without it `stored`, the type of the
    weights. Raises ContractError.
    """
    if dtype is not None and torch_dtype is not None and dtype != torch_dtype:
        raise ContractError(f"dtype={dtype} and torch_dtype={torch_dtype} are two names of one option; give one.")
    given = dtype if dtype is not None else torch_dtype
    if given != "auto":
        return read_dtype(given)
    try:
        if saved is not None:
            return read_dtype(saved)
    except ContractError:
        pass  # somebody else wrote it
    return stored


def one_device(device_map: DeviceMap) -> torch.device | None:
    """`cpu`, `cuda:1`, a number of a CUDA device, `auto` (the accelerator of this machine, else the CPU), or such a
    value for the whole model, `{"": "cuda"}`. `meta`: shapes without memory. Raises ContractError, RecipeError."""
    if isinstance(device_map, Mapping):
        if set(device_map) != {""}:
            raise ContractError(
                f"device_map={str(dict(device_map))[:100]}: a model stays on one device. The fix: device_map='auto'."
            )
        device_map = device_map[""]
    if device_map is None:
        return None
    if device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    name = f"cuda:{device_map}" if isinstance(device_map, int) else str(device_map)
    return read_device(name)
