"""The feature maps of a timm architecture, read from its `feature_info`, with corrections where that table is wrong."""

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from backbonekit.backbones.timm.config import create_body
from backbonekit.contract.features import Level
from backbonekit.weights.construct import shapes_alone

# By module of timm. The table is wrong here: TResNet's stem folds 4 x 4 pixels into channels.
_STRIDE_CORRECTIONS: dict[str, dict[int, int]] = {"tresnet": {0: 4}}

# Published with a fixed input size, but their forward pass takes any.
_ANY_SIZE = frozenset({"efficientvit_msra", "sequencer", "swiftformer", "twins", "xcit"})

# An LSTM takes its time without values too; it runs on any size.
_SLOW_ON_META = frozenset({"sequencer"})

# After cutting, some of their parameters affect no map, such as the fusion into branches that are not selected.
_UNUSED_PARAMETERS = frozenset({"coat", "crossvit", "efficientvim", "hrnet"})

# They compute the grid of their maps from values, which waits for the device and fails on the meta device.
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
    prefix_tokens = int(body.num_prefix_tokens) if returns_prefix_tokens(body) else 0  # type: ignore[arg-type]
    has_class_token = prefix_tokens == 0 or "cls_token" in dict(body.named_parameters())
    return tuple(
        Level(
            entry["module"] if modules[entry["module"]] == 1 else f"{entry['module']}:{index}",
            entry["num_chs"],
            corrections.get(index) or entry["reduction"],
            prefix_tokens,
            has_class_token,
        )
        for index, entry in enumerate(entries)
    )


def returns_prefix_tokens(body: nn.Module) -> bool:
    """Whether class and register tokens can be returned along with the maps."""
    parameters = inspect.signature(type(body).forward_intermediates).parameters  # type: ignore[attr-defined]
    return "return_prefix_tokens" in parameters and bool(body.num_prefix_tokens)


def needs_maps_from_tokens(body: nn.Module) -> bool:
    """Whether the maps are built here from a transformer's tokens instead of by timm."""
    return module_of(body) in _TOKENS_ALONE


def takes_any_size(body: nn.Module, *, is_fixed: bool) -> bool:
    """Whether an architecture takes images of any size.

    `is_fixed`: what timm states for the published weights and the switches that are on.
    """
    return not is_fixed or module_of(body) in _ANY_SIZE


def is_slow_on_meta(body: nn.Module) -> bool:
    """Whether an architecture that takes any size is too slow to be tried on the meta device."""
    return module_of(body) in _SLOW_ON_META


def may_leave_unused_parameters(body: nn.Module) -> bool:
    """Whether cutting can leave parameters that no map depends on."""
    return module_of(body) in _UNUSED_PARAMETERS


def unused_parameters(
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


def cut(body: nn.Module, indices: Sequence[int], *, keeps_end: bool = False) -> None:
    """Removes the modules after the last selected map. `keeps_end`: all but what comes behind the last stage."""
    prunes = not keeps_end
    body.prune_intermediate_layers(list(indices), prune_norm=prunes, prune_head=prunes)  # type: ignore[operator]


def with_end(levels: tuple[Level, ...], body: nn.Module) -> tuple[Level, ...]:
    """The levels with the last one as the architecture's own end leaves it: perhaps with other channels, and in XCiT
    with a class token that no earlier map has."""
    tokens = levels[-1].prefix_tokens or int("cls_token" in dict(body.named_parameters()))
    return (*levels[:-1], replace(levels[-1], channels=int(body.num_features), prefix_tokens=tokens))  # type: ignore[arg-type]


# Where timm's classes keep the norm of the vector that the last map is pooled to.
_POOLED_NORMS = ("fc_norm", "head.norm")


def pooled_norm_of(body: nn.Module) -> str | None:
    """The name of the LayerNorm behind the pooling, or None where there is none."""
    modules = dict(body.named_modules())
    return next((name for name in _POOLED_NORMS if isinstance(modules.get(name), nn.LayerNorm)), None)


def freeze_head(body: nn.Module) -> None:
    """No gradient for what comes behind the last map: the pooling and its norm, on which no map depends."""
    for name, parameter in body.named_parameters():
        if name.startswith(("fc_norm.", "head.", "attn_pool.")):
            parameter.requires_grad_(False)
