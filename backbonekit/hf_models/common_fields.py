"""The fields that every configuration of transformers has, whatever the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import torch

from backbonekit.assembly.placement import read_dtype
from backbonekit.contract.option_schema import schema_of
from backbonekit.contract.option_values import faults_of
from backbonekit.errors import ContractError, RecipeError

# Another name of a field, by which transformers 4 knows it.
SECOND_NAMES: Mapping[str, str] = {"torch_dtype": "dtype"}
KERNELS = ("sdpa", "eager")


@dataclass(kw_only=True)
class CommonFields:
    """`output_hidden_states`, `output_attentions`, `return_dict`: what a call does that does not say so itself.

    `dtype`: the type of the weights that `from_config` makes, and of those beside a `config.json`.
    `attn_implementation`: `sdpa` for fused attention where the device has it, which is also None; `eager` for attention
    step by step. The others say something about a file or a training script, and are kept and written as given:
    `initializer_range`, `use_cache`, `architectures`, `problem_type`, `chunk_size_feed_forward`, `is_encoder_decoder`,
    `tie_word_embeddings`, `name_or_path`, `transformers_version`.
    """

    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    dtype: str | torch.dtype | None = None
    attn_implementation: str | None = None
    initializer_range: float = 0.02
    use_cache: bool = True
    architectures: Sequence[str] | None = None
    problem_type: str | None = None
    chunk_size_feed_forward: int = 0
    is_encoder_decoder: bool = False
    tie_word_embeddings: bool = True
    name_or_path: str = ""
    transformers_version: str | None = None

    def checked_common(self, name: str, value: Any) -> Any:
        """A value that one of these fields may have; `dtype` as a type of torch. Raises RecipeError."""
        if name not in _DEFAULTS:
            return value
        alone = CommonFields(**{name: value})
        faults = [fault.replace("CommonFields", type(self).__name__, 1) for fault in alone.common_faults()]
        if faults:
            raise RecipeError(faults)
        return getattr(alone, name)

    def common_faults(self) -> list[str]:
        """What is wrong with these fields, one message each; `dtype` becomes a type of torch."""
        shown = type(self).__name__
        faults = [
            fault
            for name, schema in _SCHEMAS.items()
            for fault in faults_of(f"{shown}: {name}", getattr(self, name), schema)
        ]
        try:
            self.dtype = read_dtype(self.dtype)
            check_kernel(self.attn_implementation)
        except ContractError as error:
            faults.append(f"{shown}: {error}")
        return faults

    def common_values(self, *, only_set: bool = False) -> dict[str, Any]:
        """These fields as plain data; `only_set`: those that are not as by default."""
        values = {item.name: getattr(self, item.name) for item in fields(CommonFields)}
        if only_set:
            own = type(self).__dataclass_fields__
            values = {name: value for name, value in values.items() if value != own[name].default}
            values.pop("transformers_version", None)  # it did not write this
        if "dtype" in values:
            values["dtype"] = None if values["dtype"] is None else str(values["dtype"]).removeprefix("torch.")
        return values


def readable_common_fields(fields_of_file: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a `config.json`, by their first names. A value that makes no sense is passed over: somebody else wrote
    it, and no weight depends on it."""
    known = {SECOND_NAMES.get(name, name): value for name, value in fields_of_file.items() if value is not None}
    found = {name: value for name, value in known.items() if name in _DEFAULTS and name not in _OF_ONE_FILE}
    return {name: value for name, value in found.items() if not CommonFields(**{name: value}).common_faults()}


def check_kernel(given: str | None) -> None:
    """Raises ContractError for a way to compute attention that is not here."""
    if given is not None and given not in KERNELS:
        raise ContractError(
            f"attn_implementation={str(given)[:60]!r} is not supported, only {' and '.join(KERNELS)}. sdpa takes a"
            " flash kernel by itself where the device and the type of the weights allow it."
        )


_DEFAULTS = {item.name: item.default for item in fields(CommonFields)}
_OF_ONE_FILE = ("name_or_path", "architectures")
_CHECKED = _DEFAULTS.keys() - {"dtype", "attn_implementation"}  # these have rules of their own
_SCHEMAS = {name: schema_of(hint) for name, hint in get_type_hints(CommonFields).items() if name in _CHECKED}
