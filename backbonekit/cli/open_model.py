"""What every verb that needs a model does first: load a user's own parts, build or open the model, pick a device."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from backbonekit.cli.arguments import Arguments
from backbonekit.errors import RecipeError

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel


def import_parts(modules: Iterable[str]) -> None:
    """Imports modules that register parts. Only the command line can name them, never a recipe."""
    for module in modules:
        # The current folder counts, as it does for `python -m`.
        sys.path.insert(0, str(Path.cwd()))
        try:
            import_module(module)
        except ImportError as error:
            raise RecipeError(f"--import {module}: {error}.") from error
        finally:
            sys.path.pop(0)


def seed_faults(literals: Mapping[str, str]) -> list[str]:
    """The fault of seed=, if it has one."""
    if literals.get("seed", "0").isdecimal():
        return []
    return [f"seed={literals['seed']}: must be a whole number from 0."]


def start_model(arguments: Arguments, overrides: Sequence[str]) -> "ComposedModel":
    """The model of recipe= or model=, on the device of device=."""
    seed = int(arguments.literals.get("seed", "0"))
    if "recipe" in arguments.literals:
        from backbonekit.assembly.load import load_model

        where, revision = arguments.literals["recipe"], arguments.literals.get("revision")
        model = load_model(where, overrides, revision=revision, seed=seed)
    else:
        from backbonekit.recipe.compose import compose_recipe

        assert arguments.model is not None  # every verb has seen to it
        # The recipe is checked before torch is imported: a mistake is answered in under a second.
        recipe = compose_recipe(arguments.model, overrides, config_dir=arguments.config_dir)
        from backbonekit.assembly.build import build_composed

        model = build_composed(recipe, seed=seed)
    from backbonekit.assembly.device import pick_device

    return model.to(pick_device(arguments.literals.get("device", "cpu")))
