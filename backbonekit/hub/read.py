"""A saved model's folder or repository, read: nothing is built yet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbonekit.contract.processing import Processing
from backbonekit.hub.layout import RECIPE
from backbonekit.hub.manifest import KEY, Seal, read_seal
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.weights.checkpoint import INDEX, WEIGHTS, Checkpoint, open_checkpoint, weight_files
from backbonekit.weights.repository import Repository, open_repository


@dataclass(frozen=True, slots=True)
class PackedModel:
    """`recipe`: the recipe as plain data, not checked yet. `checkpoint`, `processing`: None where there are none.

    `seal`: what the recipe says of its weights, or None of a recipe that was written by hand.
    """

    recipe: dict[str, Any]
    checkpoint: Checkpoint | None
    processing: Processing | None
    seal: Seal | None


def read_folder(where: str | Path | Repository, *, verify: bool = True) -> PackedModel:
    """`verify`: compare the weights with the sha256 in the recipe, which reads them once.

    Everything comes from the one commit of `where`. Raises StorageError, WeightsError, and RecipeError for a
    recipe.yaml that no recipe can be.
    """
    repository = where if isinstance(where, Repository) else open_repository(where)
    recipe, seal = read_recipe(repository.path(RECIPE), shown=f"{repository.origin}: {RECIPE}")
    has_weights = seal is not None or repository.has(WEIGHTS) or repository.has(INDEX)
    if seal is not None:
        files = {name: repository.path(name) for name in {*seal.weights, *weight_files(repository)}}
        if verify:
            seal.verify(files, origin=repository.origin)
    processing = None
    if repository.has(PREPROCESSOR_CONFIG):
        fields = repository.json(PREPROCESSOR_CONFIG)
        processing = read_processing(fields, shown=f"{repository.origin}: {PREPROCESSOR_CONFIG}")
    return PackedModel(recipe, open_checkpoint(repository) if has_weights else None, processing, seal)


def read_recipe(path: Path, *, shown: str | None = None) -> tuple[dict[str, Any], Seal | None]:
    """A recipe file as plain data, and its seal apart from it, which is no part of the recipe."""
    recipe = read_yaml_file(path)
    block = recipe.pop(KEY, None)
    return recipe, None if block is None else read_seal(block, shown=shown or str(path))
