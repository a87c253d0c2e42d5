"""A source of backbones: architectures by names of one's own, here ResNets of timm with other widths."""

from collections.abc import Mapping
from typing import Any

from backbonekit.backbones.timm.blueprint import TimmBlueprint, blueprint as timm_blueprint
from backbonekit.errors import RecipeError, nearest

ARCHITECTURES = {
    "pico": ("resnet10t", {"channels": [8, 16, 24, 32], "stem_width": 8}),
    "nano": ("resnet14t", {"channels": [16, 32, 48, 64], "stem_width": 16}),
}


def blueprint(
    name: str | None,
    *,
    config: Mapping[str, Any] | None,
    revision: str | None,
    in_channels: int,
    args: Mapping[str, Any],
) -> TimmBlueprint:
    """What wiring calls for `backbone: {source: stripes, name: pico}`; it returns what the backbone is before a weight
    exists. `args`: more arguments of the architecture. Raises RecipeError for a name that it has not."""
    if name not in ARCHITECTURES:
        raise RecipeError(f"backbone=stripes/{name}: no such architecture; {nearest(str(name), ARCHITECTURES)}")
    architecture, own = ARCHITECTURES[name]
    return timm_blueprint(architecture, config=config, revision=revision, in_channels=in_channels, args={**own, **args})
