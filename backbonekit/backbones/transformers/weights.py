"""Weights saved by transformers under the names of its module: converted by transformers, checked strictly here."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.private_random import seeded
from backbonekit.weights.stored_tensors import StoredTensor, stored

_FRESH_NORMS = "hidden_states_norms."  # norms of the maps, which no checkpoint of a whole model holds
_SHOWN = 10


def converted(checkpoint: Checkpoint, body_class: Any, config: Any) -> Checkpoint:
    """The checkpoint as transformers' loader reads it into `body_class(config)`, named as that module names it.

    Weights that the checkpoint lacks are left out, so that filling our module reports them; a norm of a map that was
    never trained is an empty tensor. Heads and other surplus weights are left out too, but layers beyond those of the
    configuration are an error.

    Raises WeightsError.
    """
    tensors = {key: checkpoint.tensor(key) for key in checkpoint}
    try:
        with seeded(0), torch.no_grad():
            body, loading_info = body_class.from_pretrained(
                None,
                config=config,
                state_dict=tensors,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except Exception as error:  # whatever its loader raises
        raise WeightsError(
            f"transformers cannot read {checkpoint.origin} as {body_class.__name__}: {type(error).__name__}:"
            f" {' '.join(str(error).split())[:300]}"
        ) from error
    state = body.state_dict()
    faults = [
        f"{name} is {list(given)}, expected {list(expected)}"
        for name, given, expected in sorted(loading_info["mismatched_keys"])
    ]
    beyond = _surplus_layers(loading_info["unexpected_keys"], state)
    if beyond:
        faults.append(f"in surplus: {_listed(beyond)}")
    if faults:
        raise WeightsError(
            f"{checkpoint.origin} is of another architecture than the configuration: {'; '.join(faults[:_SHOWN])}."
        )
    missing = set(loading_info["missing_keys"])
    entries: dict[str, StoredTensor] = {}
    for name, tensor in state.items():
        if name in checkpoint and checkpoint.shape(name) == tuple(tensor.shape):
            # A name that is ours already needs no conversion, which would swap the two final norms of Pixio.
            entries[f"body.{name}"] = checkpoint.tensors[name]
        elif name not in missing:
            entries[f"body.{name}"] = stored(name, tensor)
        elif name.startswith(_FRESH_NORMS):
            entries[f"body.{name}"] = StoredTensor((0,), tensor.dtype, lambda: torch.empty(0))
    return checkpoint.replaced(entries)


def _surplus_layers(surplus: Sequence[str], state: Any) -> list[str]:
    """Surplus names that differ from those of our weights in a number only: blocks or stages that we do not have."""
    forms = {_form(name) for name in state}
    return sorted(name for name in surplus if any(_form(name).endswith(form) for form in forms if "#" in form))


def _form(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", name)


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
