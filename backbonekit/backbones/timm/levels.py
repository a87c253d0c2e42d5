"""What maps a timm architecture gives, read off its `feature_info`, and what of it that table does not tell."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from backbonekit.backbones.timm.config import create_body
from backbonekit.contract.features import Level
from backbonekit.weights.construct import shapes_alone

# Architectures by module of timm. The table is wrong: TResNet's stem folds 4 x 4 pixels into channels.
_STRIDE_CORRECTIONS: dict[str, dict[int, int]] = {"tresnet": {0: 4}}

# Published with a fixed input size, but their forward takes any.
_ANY_SIZE = frozenset({"efficientvit_msra", "mvitv2", "sequencer", "swiftformer", "twins", "xcit"})

# Some parameters of what is left after cutting reach no map: fusion into branches that nobody asked for.
_IDLE_PARAMETERS = frozenset({"coat", "crossvit", "efficientvim", "hrnet"})

# They find the grid of their maps by reading values, which waits for the device and which the meta device has none of.
_TOKENS_ALONE = frozenset({"gemma4_vit"})


def module_of(body: nn.Module) -> str:
    """The module of timm that an architecture is written in, such as `resnet`."""
    return type(body).__module__.rpartition(".")[2]


def levels_of(body: nn.Module) -> tuple[Level, ...]:
    """Every map in timm's numbering. Two branches of one block have the same module, so their names get the index."""
    table: Any = body.feature_info
    entries = list(table if isinstance(table, list | tuple) else table.info)
    modules = Counter(entry["module"] for entry in entries)
    corrections = _STRIDE_CORRECTIONS.get(module_of(body), {})
    prefix_tokens = int(body.num_prefix_tokens) if gives_prefix_tokens(body) else 0  # type: ignore[arg-type]
    return tuple(
        Level(
            entry["module"] if modules[entry["module"]] == 1 else f"{entry['module']}:{index}",
            entry["num_chs"],
            corrections.get(index) or entry["reduction"],
            prefix_tokens,
        )
        for index, entry in enumerate(entries)
    )


def gives_prefix_tokens(body: nn.Module) -> bool:
    """Whether class and register tokens can be had along with the maps."""
    parameters = inspect.signature(type(body).forward_intermediates).parameters  # type: ignore[attr-defined]
    return "return_prefix_tokens" in parameters and bool(body.num_prefix_tokens)


def is_better_asked_for_tokens(body: nn.Module) -> bool:
    """Whether maps are better made here of a transformer's tokens than by timm."""
    return module_of(body) in _TOKENS_ALONE


def takes_any_size(body: nn.Module, *, is_fixed: bool) -> bool:
    """`is_fixed`: what timm states for the published weights and the switches that are on."""
    return not is_fixed or module_of(body) in _ANY_SIZE


def may_idle(body: nn.Module) -> bool:
    """Whether cutting can leave parameters that no map depends on."""
    return module_of(body) in _IDLE_PARAMETERS


def idle_parameters(
    architecture: str, in_channels: int, arguments: Mapping[str, Any], indices: Sequence[int], size: tuple[int, int]
) -> frozenset[str]:
    """Names of parameters without a gradient, found by one backward pass on the meta device."""
    with shapes_alone():
        body = create_body(architecture, in_channels, arguments)
    cut(body, indices)
    with torch.device("meta"), torch.enable_grad():
        pixel_values = torch.empty(2, in_channels, *size)
        maps = body.forward_intermediates(  # type: ignore[operator]
            pixel_values, indices=list(indices), stop_early=True, intermediates_only=True
        )
        torch.stack([feature_map.sum() for feature_map in maps]).sum().backward()
    return frozenset(name for name, parameter in body.named_parameters() if parameter.grad is None)


def cut(body: nn.Module, indices: Sequence[int]) -> None:
    """Removes what stands behind the last wanted map."""
    body.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True)  # type: ignore[operator]
