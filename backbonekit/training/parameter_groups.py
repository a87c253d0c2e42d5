"""Parameter groups for an optimiser: learning rates that fall towards the input, and weights that do not decay."""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from typing import Any

from torch import nn

from backbonekit.contract.roles import Backbone, backbone_of
from backbonekit.errors import RecipeError

# The last part of a parameter's name: tokens, tables of positions, latent queries.
UNDECAYED = re.compile(r"token(s|_?\d+)?$|(^|_)pos(itions?|ition)?(_|$)|embed(ding)?s?$|latent$")


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    layer_decay: float | None = None,
    backbone_scale: float = 1.0,
    no_decay: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Groups for any torch optimiser, each with `params`, `lr`, `weight_decay` and `name`. Takes a whole model or a
    backbone; every parameter that takes a gradient is in exactly one group.

    `lr`: of neck and head. `weight_decay`: of all weights but norms, biases and other vectors,
    embeddings, tokens, tables of positions, those that timm lists, and `no_decay`: patterns of names such as
    `head.queries.*`.
    `layer_decay`: factor of the learning rate from each block of the backbone to the one before it, in (0, 1]; the last
    block has one factor, the stem as many as there are layers. None: one rate for the whole backbone.
    `backbone_scale`: factor of the learning rate of the whole backbone (0.1 in many detection recipes).

    Source: Bao et al., "BEiT", 2022 (layer-wise decay); timm/optim/_param_groups.py.
    """
    faults = []
    if lr < 0 or weight_decay < 0 or backbone_scale < 0:
        faults.append(
            f"parameter_groups: lr, weight_decay and backbone_scale must not be negative; got {lr}, {weight_decay}, "
            f"{backbone_scale}."
        )
    if layer_decay is not None and not 0 < layer_decay <= 1:
        faults.append(f"parameter_groups: layer_decay must be above 0 and at most 1 (0.8 is usual); got {layer_decay}.")
    if faults:
        raise RecipeError(faults)

    backbone = backbone_of(model)
    inside = "" if backbone is model else "backbone."
    layers = backbone.parameter_layers()
    exempt = _exempt_names(model, backbone, inside, no_decay)
    groups: dict[tuple[int | None, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layers.positions[name.removeprefix(inside)] if name.startswith(inside) else None
        decays = name not in exempt
        scale = (
            1.0
            if layer is None
            else backbone_scale * (1.0 if layer_decay is None else layer_decay ** (layers.count - layer))
        )
        if layer is not None and layer_decay is None:
            layer = 0  # one group for the whole backbone
        group = groups.setdefault(
            (layer, decays),
            {
                "params": [],
                "lr": lr * scale,
                "weight_decay": weight_decay if decays else 0.0,
                "name": _group_name(layer, decays, per_layer=layer_decay is not None),
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def _exempt_names(model: nn.Module, backbone: Backbone, inside: str, patterns: Sequence[str]) -> set[str]:
    """Names of the parameters without weight decay."""
    patterns = [*(f"{inside}{name}" for name in backbone.no_weight_decay()), *patterns]
    exempt = {name for name, _ in _embeddings(model)}
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        if parameter.ndim <= 1 or last == "bias" or UNDECAYED.search(last) or any(fnmatch(name, it) for it in patterns):
            exempt.add(name)
    return exempt


def _embeddings(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for prefix, module in model.named_modules():
        if isinstance(module, nn.Embedding):
            yield from module.named_parameters(prefix)


def _group_name(layer: int | None, decays: bool, *, per_layer: bool) -> str:
    part = "rest" if layer is None else f"backbone layer {layer}" if per_layer else "backbone"
    return part if decays else f"{part}, no decay"
