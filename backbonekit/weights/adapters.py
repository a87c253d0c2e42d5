"""A LoRA adapter of peft in a model: told apart from the model's own weights, put in again, merged into them.

peft wraps a layer: `head.classifier.weight` becomes `head.classifier.base_layer.weight`, beside
`head.classifier.lora_A.NAME.weight` and `lora_B`. peft is imported only where there is an adapter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.contract.option_values import faults_of, shown
from backbonekit.errors import RecipeError, WeightsError
from backbonekit.weights.private_random import seeded

ADAPTER_CONFIG = "adapter_config.json"  # as peft names both
ADAPTER_WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."  # what peft writes before every name
_BASE, _DOWN, _UP = ".base_layer.", ".lora_A.", ".lora_B."
_NAME = "default"
_MERGE = "merge it first, with load_model(..., merge_adapter=True) or merge_adapter(model)"
# The fields of `adapter_config.json` that are written and read; peft has defaults for its others.
_FIELDS: Mapping[str, Any] = {
    "peft_type": {"enum": ["LORA"]},
    "r": {"type": "integer", "minimum": 1, "maximum": 4_096},
    "lora_alpha": {"type": "number", "minimum": 1e-6, "maximum": 1e6},
    "lora_dropout": {"type": "number", "minimum": 0, "maximum": 0.999},
    "use_rslora": {"type": "boolean"},
    "bias": {"enum": ["none"]},
    "target_modules": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 20_000},
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """`modules`: paths of the layers that it adds to. `rank`, `alpha`, `dropout`, `use_rslora`: as in `LoraConfig`.
    `tensors`: by path, without the adapter's name: `head.classifier.lora_A.weight`."""

    modules: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float
    use_rslora: bool
    tensors: Mapping[str, Tensor]

    def to_config(self) -> dict[str, Any]:
        """The fields of `adapter_config.json`."""
        return {
            "peft_type": "LORA",
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.use_rslora,
            "bias": "none",
            "target_modules": list(self.modules),
        }

    def to_tensors(self) -> dict[str, Tensor]:
        """The tensors by peft's names."""
        return {f"{_PREFIX}{name}": tensor for name, tensor in self.tensors.items()}


def adapter_of(model: nn.Module) -> Adapter | None:
    """The adapter that `peft.inject_adapter_in_model` put into a model; None where there is none.

    Raises WeightsError for several, a merged one, and kinds that are more than two matrices beside a layer.
    """
    configs = vars(model).get("peft_config")
    if not configs:
        return None
    from peft.tuners.lora import LoraLayer

    layers: dict[str, Any] = {path: module for path, module in model.named_modules() if isinstance(module, LoraLayer)}
    names = list(configs)
    if len(names) != 1 or not layers:
        raise WeightsError(f"the model has the adapters {', '.join(names)}; one of LoRA can be saved. {_fix()}")
    name, config = names[0], configs[names[0]]
    tensors: dict[str, Tensor] = {}
    for path, layer in layers.items():
        state: dict[str, Tensor] = layer.state_dict()  # type: ignore[attr-defined]
        own = {key: value for key, value in state.items() if not key.startswith("base_layer.")}
        down, up = own.pop(f"lora_A.{name}.weight", None), own.pop(f"lora_B.{name}.weight", None)
        scale = config.lora_alpha / (config.r**0.5 if config.use_rslora else config.r)
        if own or down is None or up is None or down.shape[0] != config.r or layer.scaling[name] != scale:
            raise WeightsError(f"{path} has more than the two matrices of a plain LoRA adapter. {_fix()}")
        if layer.merged:
            raise WeightsError(f"the adapter of {path} is merged for now: unmerge it, or {_MERGE}.")
        tensors |= {f"{path}{_DOWN}weight": down, f"{path}{_UP}weight": up}
    return Adapter(tuple(layers), config.r, config.lora_alpha, config.lora_dropout, bool(config.use_rslora), tensors)


def without_adapter(state_dict: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """The model's own tensors by the names that they have without an adapter."""
    kept = {}
    for name, tensor in state_dict.items():
        path = next((mark for mark in (_DOWN, _UP) if mark in name), None)
        if path is None or name.partition(path)[0] not in adapter.modules:
            kept[name.replace(_BASE, ".")] = tensor
    return kept


def read_adapter(config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, origin: str) -> Adapter:
    """From the fields and tensors of a saved folder. Raises WeightsError for anything but a plain LoRA adapter."""
    faults = [f"{shown(key, quotes=False)} is unknown." for key in config if key not in _FIELDS]
    faults += [f"{key} is missing." for key in _FIELDS if key not in config]
    for key, schema in _FIELDS.items():
        faults += faults_of(key, config.get(key), schema)
    if faults:
        raise WeightsError(f"{origin}: {ADAPTER_CONFIG} is not of a plain LoRA adapter: {faults[0]}")
    own = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    rank, alpha, dropout = config["r"], config["lora_alpha"], config["lora_dropout"]
    return Adapter(tuple(config["target_modules"]), rank, alpha, dropout, config["use_rslora"], own)


def put_adapter(model: nn.Module, adapter: Adapter, *, origin: str) -> None:
    """Puts a saved adapter into a model, in eval mode. Every tensor has to fit, as with all weights.

    Raises RecipeError where peft is not installed, WeightsError where the adapter is of another model.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise RecipeError(f"{origin} holds a LoRA adapter. The fix: pip install peft.") from error
    known = dict(model.named_modules())
    absent = [path for path in adapter.modules if not isinstance(known.get(path), nn.Linear | nn.Conv2d)]
    if absent:
        raise WeightsError(f"{origin}: its adapter adds to {absent[0]!r}, which is no layer of this model.")
    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type] - fractions scale as well
        lora_dropout=adapter.dropout,
        use_rslora=adapter.use_rslora,
        target_modules=list(adapter.modules),
    )
    with seeded(0):  # the values are replaced; the global generator is left alone
        inject_adapter_in_model(config, model, adapter_name=_NAME)
    slots = {
        name.replace(f".{_NAME}.", "."): parameter
        for name, parameter in model.named_parameters()
        if _DOWN in name or _UP in name
    }
    wrong = sorted(slots.keys() ^ adapter.tensors.keys()) or sorted(
        name for name, parameter in slots.items() if parameter.shape != adapter.tensors[name].shape
    )
    if wrong:
        raise WeightsError(f"{origin}: its adapter does not fit the model: {wrong[0]!r} ({len(wrong)} such tensors).")
    with torch.no_grad():
        for name, parameter in slots.items():
            parameter.copy_(adapter.tensors[name])
    model.eval()


def merge_adapter(model: nn.Module) -> nn.Module:
    """Adds a model's adapter to the weights of its layers and takes it out; the same model, changed in place.

    A model without an adapter stays as it is.
    """
    if not vars(model).get("peft_config"):
        return model
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [(path, module) for path, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
    for path, layer in layers:
        if not layer.merged:
            layer.merge()  # type: ignore[operator]
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer.get_base_layer())
    del model.peft_config
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return model


def _fix() -> str:
    return f"The fix: {_MERGE}."
