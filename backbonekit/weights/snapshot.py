"""What a module was when it was built: names, shapes and kinds of its tensors, and a few values of each parameter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

_PROBED = 8  # values of a parameter, from its start: a step of training changes all of them, weight decay included


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`tensors`: shape and data type of each tensor of the state dict. `probes`: the first values of each parameter."""

    tensors: Mapping[str, tuple[tuple[int, ...], torch.dtype]]
    probes: Mapping[str, Tensor]

    def differences(self, state_dict: Mapping[str, Tensor]) -> list[str]:
        """How the tensors differ from those of then, a message each. Floating types stand for each other: a checkpoint
        is read in the type of the module."""
        found = [f"{name} is gone" for name in self.tensors if name not in state_dict]
        for name, tensor in state_dict.items():
            if name not in self.tensors:
                found.append(f"{name} is new")
                continue
            shape, dtype = self.tensors[name]
            if tuple(tensor.shape) != shape:
                found.append(f"{name} has the shape {list(tensor.shape)}, not {list(shape)}")
            elif tensor.dtype != dtype and not (tensor.dtype.is_floating_point and dtype.is_floating_point):
                found.append(f"{name} has the type {_word(tensor.dtype)}, not {_word(dtype)}")
        return found

    def unchanged(self, names: Iterable[str], module: nn.Module) -> list[str]:
        """Those of the parameters `names` whose values are still the ones of then."""
        # A layer that peft wraps keeps its weights under another name.
        parameters = {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in module.named_parameters(remove_duplicate=False)
        }
        return [
            name
            for name in names
            if name in self.probes and name in parameters and _is_same(parameters[name], self.probes[name])
        ]


def snapshot(module: nn.Module) -> Snapshot:
    """Of a module as it is now."""
    return Snapshot(
        {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items()},
        {
            name: _probe(parameter)
            for name, parameter in module.named_parameters(remove_duplicate=False)
            if not parameter.is_meta
        },
    )


def _probe(parameter: Tensor) -> Tensor:
    return parameter.detach().flatten()[:_PROBED].to("cpu", copy=True)


def _is_same(parameter: Tensor, probe: Tensor) -> bool:
    now = _probe(parameter)
    # In the narrower of both types: a cast changes values and is no training.
    narrow = now.dtype if now.dtype.itemsize < probe.dtype.itemsize else probe.dtype
    return now.shape == probe.shape and bool(torch.equal(now.to(narrow), probe.to(narrow)))


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
