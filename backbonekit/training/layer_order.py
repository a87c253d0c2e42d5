"""Where in a backbone a weight stands: its layer and its stage, both counted from the input, the stem being 0."""

import re
from collections.abc import Iterable, Mapping
from typing import cast

from timm.models._manipulate import group_with_matcher
from torch import nn

from backbonekit.training.roles import KnowsLayers, KnowsStages, PublishesMaps, body_of

UNMATCHED = "\0"  # no weight is called this, so timm's patterns put it behind everything


def layers_of(backbone: nn.Module) -> tuple[dict[str, int], int]:
    """Layer by name for every parameter and buffer, and the number of layers.

    A layer is a block; 0 is the stem. What stands behind all blocks, such as norms of the maps, has the number of
    layers.
    """
    prefix, body = body_of(backbone)
    layers, count = _body_layers(body, coarse=False)
    return {name: layers.get(name.removeprefix(prefix), count) for name in _names(backbone)}, count


def stages_of(backbone: nn.Module) -> tuple[dict[str, int], int]:
    """Stage by name for every parameter and buffer, and the number of stages with the stem.

    A stage is what the architecture calls so; of a plain transformer, each block. What stands behind all of them
    counts as the last.
    """
    if isinstance(backbone, KnowsStages):
        stages = {name: backbone.stage_of(name) for name in _names(backbone)}
        return stages, max(stages.values(), default=0) + 1
    prefix, body = body_of(backbone)
    stages, count = _body_layers(body, coarse=True)
    cut = _cut_at_maps(body, groups=count)
    if cut is not None:
        stages, count = cut
    return {name: stages.get(name.removeprefix(prefix), count - 1) for name in _names(backbone)}, count


def _body_layers(body: nn.Module, *, coarse: bool) -> tuple[dict[str, int], int]:
    """By timm's own patterns; unmatched names are left out."""
    names = _names(body)
    if isinstance(body, KnowsLayers):
        try:
            matcher = body.group_matcher(coarse=coarse)
        except AssertionError:  # RDNet has no coarse one
            return _trunk_layers(names)
        pairs = iter([(name, None) for name in [*names, UNMATCHED]])
        layers = cast("Mapping[str, int]", group_with_matcher(pairs, matcher, reverse=True))  # type: ignore[arg-type]
        behind = layers[UNMATCHED]
        return {name: layers[name] for name in names if layers[name] < behind}, behind
    return _trunk_layers(names)


def _trunk_layers(names: list[str]) -> tuple[dict[str, int], int]:
    """Without patterns: the longest numbered list of modules (`stages.0`, `stages.1`, ...) is the trunk, one layer
    each; what is defined before it is the stem."""
    numbered: dict[str, list[int]] = {}
    for name in names:
        found = re.match(r"(\w+)\.(\d+)\.", name)
        if found:
            numbered.setdefault(found.group(1), []).append(int(found.group(2)))
    if not numbered:
        return dict.fromkeys(names, 0), 1
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
    return layers, max(numbered[trunk]) + 2


def _cut_at_maps(body: nn.Module, *, groups: int) -> tuple[dict[str, int], int] | None:
    """Stages that end where timm takes its maps, for architectures such as Hiera whose coarse groups are still blocks.

    None where the coarse groups are stages already, or where a map is not the output of a named module.
    """
    maps = body.feature_info if isinstance(body, PublishesMaps) else []
    layers, _ = _body_layers(body, coarse=False)
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
    return stages, len(known) + 1


def _names(module: nn.Module) -> list[str]:
    # In the order of definition; parameters and buffers of one module stand together.
    owned: Iterable[tuple[str, nn.Module]] = module.named_modules()
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, owner in owned
        for name, _ in [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]
    ]
