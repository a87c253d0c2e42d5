"""The names of a timm model's weights inside transformers' TimmBackbone, which wraps timm's `features_only` models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import timm
import torch

from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.errors import RecipeError
from backbonekit.weights.key_map import KeyMap, Rename

WRAPPER = "_backbone"


def timm_feature_names(blueprint: TimmBlueprint, out_indices: Sequence[int], *, wrapped: bool = True) -> KeyMap:
    """The map from a wrapper's names to ours; both sets of names are read from models on the meta device.

    `wrapped`: whether the names have the wrapper's prefix, as everywhere but in DETR, which unwraps its backbone.

    timm's wrappers name weights in three ways: as the model does (ResNet), with the dots of top-level containers
    written as underscores (`stages_0` in ConvNeXt), or all under `model` (vision transformers). What only the
    wrapper has, such as a final norm, is left unread.
    """
    identity = blueprint.identity.architecture
    return _names(
        _Key(
            timm.model_entrypoint(identity),
            blueprint.in_channels,
            repr((sorted(blueprint.arguments.items()), blueprint.levels)),
            tuple(out_indices),
            wrapped,
            blueprint,
        )
    )


@dataclass(frozen=True, slots=True)
class _Key:
    """What decides the names; `blueprint` says the same as the others."""

    entrypoint: Callable[..., Any]
    in_channels: int
    arguments: str
    out_indices: tuple[int, ...]
    wrapped: bool
    blueprint: TimmBlueprint = field(compare=False)


@lru_cache(maxsize=32)  # a configuration is read several times, and a table of a large model takes 0.2 s
def _names(key: _Key) -> KeyMap:
    blueprint, out_indices, wrapped = key.blueprint, key.out_indices, key.wrapped
    with torch.device("meta"):
        try:
            wrapper = timm.create_model(
                blueprint.identity.architecture,
                pretrained=False,
                features_only=True,
                out_indices=out_indices,
                in_chans=blueprint.in_channels,
                **blueprint.arguments,
            )
        except (RuntimeError, TypeError, AttributeError) as error:
            raise RecipeError(
                f"backbone_config.backbone={blueprint.name!r}: timm returns no maps of it: {error}"
            ) from error
        ours = set(blueprint.construct(out_indices).state_dict())
    rules, unread = [], []
    prefix = f"{WRAPPER}." if wrapped else ""
    for name in wrapper.state_dict():
        found = [f"body.{spelling}" for spelling in _spellings(name) if f"body.{spelling}" in ours]
        if found:
            rules.append(Rename(f"{prefix}{name}", found[0]))
        else:
            unread.append(f"{prefix}{name}")
    return KeyMap(rules, drop=unread)


def _spellings(name: str) -> tuple[str, ...]:
    top, _, rest = name.partition(".")
    container, _, position = top.rpartition("_")
    return name, f"{container}.{position}.{rest}", name.removeprefix("model.")
