"""A recipe that a command line names in one word: one that ships, a YAML file, a saved folder, a Hub repository."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.recipe.compose import SUFFIXES, model_names
from backbonekit.recipe.config_roots import is_file, is_folder
from backbonekit.recipe.recipe import Recipe

Start = str | Path | Mapping[str, Any] | Recipe


def start_from(where: str, *, config_dir: str | None = None) -> Start:
    """What `compose_recipe` takes for `where`. A name and a file are not read yet; a folder or repository is opened.

    Raises RecipeError, StorageError.
    """
    is_yaml = where.lower().endswith(SUFFIXES) and is_file(where)
    if is_yaml or ("/" not in where and not is_folder(where)) or where in model_names(config_dir):
        return Path(where) if is_yaml else where
    return opened(where)


def opened(where: str, *, revision: str | None = None) -> Start:
    """A saved folder, a YAML file or a Hub repository, as recipe= names it."""
    from backbonekit.assembly.load import compose_opened
    from backbonekit.hub.opening import open_model

    found = open_model(where, revision=revision)
    # Written by hand: what is missing may come with overrides.
    return found.recipe_mapping if found.checkpoint is None else compose_opened(where, revision=revision)
