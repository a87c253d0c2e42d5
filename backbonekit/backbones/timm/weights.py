"""Weights in timm's format for a cut model: timm's own conversions applied, the classifier left out."""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from backbonekit.weights.checkpoint import WEIGHTS, Checkpoint, base_of, open_checkpoint
from backbonekit.weights.repository import Repository
from backbonekit.weights.stored_tensors import StoredTensor

# The names of timm's functions that convert older or original checkpoints, and those of other sizes.
_CONVERSIONS = ("checkpoint_filter_fn", "checkpoint_filter_fn_classifier")


def open_weights(where: Any, pretrained: PretrainedCfg) -> Checkpoint:
    """The weights of a repository, also under another file name where timm states one."""
    filename = pretrained.hf_hub_filename
    if isinstance(where, Repository) and filename and not where.has(WEIGHTS):
        safe = filename.replace("_pytorch_model.bin", "_model.safetensors").replace(".bin", ".safetensors")
        if where.has(safe):
            opened = open_checkpoint(where.path(safe))
            return Checkpoint(
                opened.tensors,
                origin=where.origin,
                commit=where.commit,
                licence=where.licence,
                base=base_of(where, [safe]),
            )
    return open_checkpoint(where)


def own_names(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without the prefixes that this library puts before timm's names."""
    for prefix in ("backbone.body.", "body."):
        if any(key.startswith(prefix) for key in checkpoint.tensors):
            return checkpoint.under(prefix)
    return checkpoint


class ConvertedWeights:
    """timm's conversion of a checkpoint for a whole model on the meta device.

    `checkpoint`: under the model's names; what the conversion only renames is not read yet.
    `changed`: tensors whose shape the conversion changes; the checkpoint still has them as stored.
    """

    def __init__(self, checkpoint: Checkpoint, whole: nn.Module) -> None:
        convert = _conversion(whole)
        self.changed: dict[str, Callable[[], Tensor]] = {}
        if convert is None:
            self.checkpoint = checkpoint
            return
        stored = checkpoint.tensors
        planned = {key: torch.empty(entry.shape, dtype=entry.dtype, device="meta") for key, entry in stored.items()}
        names = {id(tensor): key for key, tensor in planned.items()}
        found: dict[str, StoredTensor] = {}
        made: dict[str, Tensor] = {}
        renamed: set[str] = set()
        for key, tensor in convert(dict(planned), whole).items():
            source = names.get(id(tensor))
            if source is not None:
                found[key] = stored[source]
                renamed.add(source)
            else:
                made[key] = tensor

        def load(key: str) -> Tensor:
            # Only tensors that the conversion computes with are read; the others are passed on the meta device.
            given = {name: planned[name] if name in renamed else checkpoint.tensor(name) for name in planned}
            return convert(given, whole)[key]

        for key, tensor in made.items():
            before = stored.get(key)
            if before is not None and before.shape != tuple(tensor.shape):
                found[key] = before
                self.changed[key] = lambda key=key: load(key)
            else:
                found[key] = StoredTensor(tuple(tensor.shape), tensor.dtype, lambda key=key: load(key))
        self.checkpoint = checkpoint.replaced(found)


def _conversion(whole: nn.Module) -> Callable[[Mapping[str, Tensor], nn.Module], Mapping[str, Tensor]] | None:
    module = vars(sys.modules[type(whole).__module__])
    function = next((module[name] for name in _CONVERSIONS if name in module), None)
    if function is None:
        return None
    if len(inspect.signature(function).parameters) == 1:
        return lambda tensors, _: function(tensors)
    return function
