"""A saved model's folder: the names of its files, written all or none, and read without building anything."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError
from backbonekit.hub.manifest import KEY, Manifest, Verification, manifest_of, read_manifest, recipe_digest
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing, write_processing
from backbonekit.recipe.guard import MAX_BYTES, read_yaml, read_yaml_file
from backbonekit.recipe.schema_versions import newer_version_fault
from backbonekit.weights.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, read_adapter
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.checkpoint import INDEX, WEIGHTS, Checkpoint, open_checkpoint, weight_files
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.stored_tensors import read_safetensors
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.write_folder import file_in, replacing
from backbonekit.weights.write_tensors import MAX_SHARD_BYTES, save_file_of, save_tensors

RECIPE = "recipe.yaml"
CARD = "README.md"
CONFIG = "config.json"  # of transformers

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def is_weights(name: str) -> bool:
    """Whether a file is part of a saved model's weights."""
    return name in (WEIGHTS, INDEX, ADAPTER_WEIGHTS) or _SHARD.fullmatch(name) is not None


def is_ours(name: str) -> bool:
    """Whether a file is part of a saved model. Everything else in its folder is somebody else's."""
    return name in (RECIPE, CARD, PREPROCESSOR_CONFIG, ADAPTER_CONFIG) or is_weights(name)


def is_of_any_model(name: str) -> bool:
    """Whether a file is part of a model that we or transformers saved."""
    return is_ours(name) or name == CONFIG


def model_in(folder: Path) -> str | None:
    """The file by which a folder holds a saved model, ours or another library's; None where it holds none."""
    if not folder.is_dir():
        return None
    return next((name for name in (RECIPE, CONFIG, WEIGHTS, INDEX) if file_in(folder, name).is_file()), None)


def save_model(
    folder: str | Path,
    *,
    recipe_yaml: str,
    state_dict: Mapping[str, Tensor],
    processing: Processing,
    card: str,
    random: Mapping[str, str] = MappingProxyType({}),
    is_trained: bool = True,
    adapter: Adapter | None = None,
    bases: Mapping[str, BaseWeights] = MappingProxyType({}),
    max_shard_bytes: int = MAX_SHARD_BYTES,
    replaces_any: bool = False,
) -> Path:
    """Writes the four kinds of files and returns the folder. Equal models are written as equal bytes.

    `recipe_yaml`: the flat recipe as a YAML mapping in block style; the weights' sha256 are written after it.
    `card`: the text of README.md. `random`: what was never trained, and `is_trained`: whether anything was, as in
    `Manifest`. `adapter`: written beside the weights, in peft's files. `bases`: what the parts started from. An older
    model in the folder is replaced once the new one is complete, with `replaces_any` also one that transformers saved;
    files that are no part of a model are kept. Raises StorageError, and WeightsError for tensors without values.
    """
    folder = user_path(folder)
    with replacing(folder, stale=is_of_any_model if replaces_any else is_ours, last=RECIPE) as new:
        weight_files = save_tensors(new, state_dict, max_shard_bytes=max_shard_bytes)
        fields = json.dumps(write_processing(processing), indent=2, sort_keys=True)
        write_text(new / PREPROCESSOR_CONFIG, fields)
        write_text(new / CARD, card)
        if adapter is not None:
            save_file_of(new / ADAPTER_WEIGHTS, adapter.to_tensors())
            write_text(new / ADAPTER_CONFIG, json.dumps(adapter.to_config(), indent=2, sort_keys=True))
            weight_files = (*weight_files, ADAPTER_WEIGHTS)
        digest = recipe_digest(read_yaml(recipe_yaml))
        manifest = manifest_of(new, weight_files, random, is_trained, digest, bases)
        write_text(new / RECIPE, recipe_yaml.rstrip("\n") + "\n" + manifest.to_yaml())
    return folder


def write_text(path: Path, text: str) -> None:
    """One final line end, and no other than \\n, whatever the system is."""
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")


@dataclass(frozen=True, slots=True)
class SavedModel:
    """`recipe`: the recipe as plain data, not checked yet. `checkpoint`, `processing`: None where there are none.

    `manifest`: the weights' sha256 as the recipe records them; None for a recipe that was written by hand.
    `verification`: compares the weights with it, beside whatever reads them; to be finished before anything of them is
    handed out.
    """

    recipe: dict[str, Any]
    checkpoint: Checkpoint | None
    processing: Processing | None
    manifest: Manifest | None
    adapter: Adapter | None = None
    verification: Verification = field(default_factory=Verification)


def read_folder(where: str | Path | Repository, *, beside: bool = False) -> SavedModel:
    """A saved model, nothing built. `beside`: leave it to the caller to finish `verification`, once its own work that
    needs no certainty is done.

    Everything comes from the one commit of `where`. Raises StorageError, WeightsError, and RecipeError for a
    recipe.yaml that no recipe can be.
    """
    repository = where if isinstance(where, Repository) else open_repository(where)
    recipe, manifest = read_recipe(repository.path(RECIPE, limit=MAX_BYTES), shown=f"{repository.origin}: {RECIPE}")
    has_weights = manifest is not None or repository.has(WEIGHTS) or repository.has(INDEX)
    files = {}
    if manifest is not None:
        files = {name: repository.path(name) for name in {*manifest.weights, *weight_files(repository)}}
    # Opened before they are compared, which reads them: a file of another length than its header says is not read.
    checkpoint = open_checkpoint(repository) if has_weights else None
    verification = Verification()
    if manifest is not None:
        verification = manifest.verification(files, origin=repository.origin)
    processing = None
    if repository.has(PREPROCESSOR_CONFIG):
        fields = repository.json(PREPROCESSOR_CONFIG)
        processing = read_processing(fields, shown=f"{repository.origin}: {PREPROCESSOR_CONFIG}")
    model = SavedModel(
        recipe,
        checkpoint,
        processing,
        manifest,
        _adapter(repository, manifest),
        verification,
    )
    if not beside:
        verification.finish()
    return model


def _adapter(repository: Repository, manifest: Manifest | None) -> Adapter | None:
    if manifest is None or ADAPTER_WEIGHTS not in manifest.weights:
        return None
    shown = f"{repository.origin}: {ADAPTER_WEIGHTS}"
    stored = Checkpoint(read_safetensors(repository.path(ADAPTER_WEIGHTS), shown=shown), origin=repository.origin)
    tensors = {name: stored.tensor(name) for name in stored}
    return read_adapter(repository.json(ADAPTER_CONFIG), tensors, origin=repository.origin)


def read_recipe(path: Path, *, shown: str | None = None) -> tuple[dict[str, Any], Manifest | None]:
    """A recipe file as plain data, and its manifest apart from it, which is no part of the recipe."""
    recipe = read_yaml_file(path)
    block = recipe.pop(KEY, None)
    fault = newer_version_fault(recipe.get("schema_version"), block)
    if fault is not None:  # before the block, which a later version may write otherwise
        raise RecipeError(f"{shown or path}: {fault}")
    return recipe, None if block is None else read_manifest(block, shown=shown or str(path))
