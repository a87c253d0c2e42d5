"""The layer and the stage of each weight of a timm model, both counted from the input; the stem has 0."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

from timm.models._manipulate import group_with_matcher
from torch import nn

from backbonekit.contract.roles import ParameterOrder

_UNMATCHED = "\0"  # no weight has this name, so timm's patterns put it after all others


@runtime_checkable
class HasLayerPatterns(Protocol):
    """A timm model that lists patterns of its weights' names in the order of use, by block or (coarse) by stage."""

    def group_matcher(self, coarse: bool = False) -> object: ...


@runtime_checkable
class ListsMaps(Protocol):
    """A timm model with a table of its maps, fine to coarse; `module` of each is the name of the module behind it."""

    feature_info: list[dict[str, Any]]


@runtime_checkable
class ListsUndecayed(Protocol):
    """A timm model that lists patterns of weights without weight decay."""

    def no_weight_decay(self) -> Iterable[str]: ...


def body_layers(body: nn.Module) -> ParameterOrder:
    """The layer of each weight, where a layer is a block. Weights after all blocks are left out."""
    return _by_patterns(body, coarse=False)


def body_stages(body: nn.Module) -> ParameterOrder:
    """The stage of each weight, as timm groups them; in a plain transformer, each block. Those after all stages are
    left out."""
    stages = _by_patterns(body, coarse=True)
    return _ended_at_maps(body, groups=stages.count) or stages


def undecayed(body: nn.Module) -> frozenset[str]:
    """Patterns of the names of weights without weight decay, as timm lists them."""
    return frozenset(body.no_weight_decay()) if isinstance(body, ListsUndecayed) else frozenset()


def names_of(module: nn.Module) -> list[str]:
    """Parameters and buffers in the order of definition; those of one module are adjacent."""
    owned: Iterable[tuple[str, nn.Module]] = module.named_modules()
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, owner in owned
        for name, _ in [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
    ]


def _by_patterns(body: nn.Module, *, coarse: bool) -> ParameterOrder:
    """The order from timm's own patterns; names that match none are left out."""
    names = names_of(body)
    if isinstance(body, HasLayerPatterns):
        try:
            matcher = body.group_matcher(coarse=coarse)
        except AssertionError:  # RDNet has no coarse one
            return _by_numbers(names)
        pairs = iter([(name, None) for name in [*names, _UNMATCHED]])
        layers = cast("Mapping[str, int]", group_with_matcher(pairs, matcher, reverse=True))  # type: ignore[arg-type]
        behind = layers[_UNMATCHED]
        return ParameterOrder({name: layers[name] for name in names if layers[name] < behind}, behind)
    return _by_numbers(names)


def _by_numbers(names: list[str]) -> ParameterOrder:
    """The order without patterns: the longest numbered list of modules (`stages.0`, `stages.1`, ...) is the trunk, one
    layer each; what is defined before it is the stem."""
    numbered: dict[str, list[int]] = {}
    for name in names:
        found = re.match(r"(\w+)\.(\d+)\.", name)
        if found:
            numbered.setdefault(found.group(1), []).append(int(found.group(2)))
    if not numbered:
        return ParameterOrder(dict.fromkeys(names, 0), 1)
    trunk = max(numbered, key=lambda list_name: len(numbered[list_name]))
    layers: dict[str, int] = {}
    inside = False
    for name in names:
        found = re.match(rf"{trunk}\.(\d+)\.", name)
        inside = inside or found is not None
        if found:
            layers[name] = int(found.group(1)) + 1
        elif not inside:
            layers[name] = 0
    return ParameterOrder(layers, max(numbered[trunk]) + 2)


def _ended_at_maps(body: nn.Module, *, groups: int) -> ParameterOrder | None:
    """Stages that end where timm takes its maps, for architectures such as Hiera whose coarse groups are still blocks.

    None where the coarse groups are stages already, or where a map is not the output of a named module.
    """
    maps = body.feature_info if isinstance(body, ListsMaps) else []
    layers = body_layers(body).positions
    ends = []
    for entry in maps:
        inside = [layer for name, layer in layers.items() if name.startswith(f"{entry['module']}.")]
        ends.append(max(inside) if inside else None)
    built = len(ends)
    while built and ends[built - 1] is None:
        built -= 1
    # The first map may be the stem's activation, which has no weights.
    known = sorted({end for end in ends[:built] if end})
    if not known or None in ends[1:built] or groups <= len(known) + 1:
        return None
    if built < len(ends) and max(layers.values()) > known[-1]:
        return None  # not cut off: the last map comes from a module without weights
    stages = {
        name: 0 if layer == 0 else min(1 + sum(end < layer for end in known), len(known))
        for name, layer in layers.items()
    }
    return ParameterOrder(stages, len(known) + 1)
