"""A saved model to the Hub, in one commit, without the paths of this machine."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbonekit.errors import StorageError
from backbonekit.hub.card import without_local_paths
from backbonekit.hub.manifest import Manifest, recipe_digest
from backbonekit.hub.saved_model import CARD, CONFIG, RECIPE, is_ours, is_weights, read_recipe
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.weights.hub import call, check_identifier
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.write_folder import file_in, files_in

_PATH_LIKE = re.compile(r"(~|\.{1,2})?[/\\]|[A-Za-z]:[/\\]|~$")


def push_folder(
    folder: str | Path,
    identifier: str,
    *,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload model",
    api: Any = None,
) -> str:
    """Uploads a folder that `save_model` wrote to the repository `identifier`, which is made if needed.

    Only the files of a saved model are uploaded; weights of an older model in the repository that the new one lacks,
    and its recipe or `config.json`, are deleted in the same commit. `private` holds for a repository that is made now.
    `api`: a `huggingface_hub.HfApi`.
    Returns the commit's address. Raises StorageError, and RecipeError for a recipe that is none.
    """
    check_identifier(identifier)
    contents = _contents(user_path(folder))
    return push_contents(contents, identifier, private=private, token=token, message=message, api=api)


def push_contents(
    contents: Mapping[str, bytes | str],
    identifier: str,
    *,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload model",
    api: Any = None,
) -> str:
    """The same for files by their names in the repository: their bytes, or the path of a large one."""
    check_identifier(identifier)
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    if api is None:
        api = HfApi(token=token)
    call(lambda: api.create_repo(identifier, private=private, exist_ok=True), identifier, "create the repository")
    known = call(lambda: api.model_info(identifier), identifier, "list the repository")
    stale = [
        entry.rfilename
        for entry in known.siblings or ()
        if _is_of_the_model(entry.rfilename) and entry.rfilename not in contents
    ]
    operations: list[Any] = [CommitOperationAdd(name, content) for name, content in contents.items()]
    operations += [CommitOperationDelete(name) for name in stale]
    # The parent makes a commit of somebody else in between an error instead of a mixture.
    commit = call(
        lambda: api.create_commit(identifier, operations, commit_message=message, parent_commit=known.sha),
        identifier,
        "upload the model",
    )
    return str(commit.commit_url)


def transformers_contents(folder: Path) -> dict[str, bytes | str]:
    """Of a folder that was just written for transformers: the text files' bytes without local paths, the weights'
    paths."""
    contents: dict[str, bytes | str] = {}
    for name in sorted(files_in(folder)):
        path = file_in(folder, name)
        contents[name] = str(path) if is_weights(name) else path.read_bytes()
    contents[CARD] = without_local_paths(file_in(folder, CARD).read_text(encoding="utf-8")).encode()
    return contents


def _is_of_the_model(name: str) -> bool:
    """Weights, and what says how to read them: beside new weights an older one would be read instead."""
    return is_weights(name) or name in (RECIPE, CONFIG)


def _contents(folder: Path) -> dict[str, bytes | str]:
    """By name: the text files' bytes without local paths, the weight files' paths."""
    path_of_recipe = file_in(folder, RECIPE)
    if not path_of_recipe.is_file():
        raise StorageError(f"{folder} is no saved model: it has no {RECIPE}. Save the model there first.")
    recipe, manifest = read_recipe(path_of_recipe)
    if manifest is None:
        raise StorageError(f"{folder / RECIPE} does not list its weights. Save the model again before it is pushed.")
    contents: dict[str, bytes | str] = {}
    for name in sorted(files_in(folder)):
        path = file_in(folder, name)
        is_stray = path.suffix == ".safetensors" and name not in manifest.weights
        if is_stray or not is_ours(name):
            continue
        if path.is_symlink() or not path.is_file():
            raise StorageError(f"{path} is a link, not a file; what it points to is not uploaded.")
        contents[name] = str(path) if is_weights(name) else path.read_bytes()
    contents[RECIPE] = _recipe_bytes(path_of_recipe, recipe, manifest)
    if CARD in contents:
        contents[CARD] = without_local_paths(file_in(folder, CARD).read_text(encoding="utf-8")).encode()
    missing = [name for name in manifest.weights if name not in contents]
    if missing:
        raise StorageError(
            f"{folder} lacks the weights {missing[0]!r}, which its {RECIPE} lists. Save the model again."
        )
    return contents


def _recipe_bytes(path: Path, recipe: dict[str, Any], manifest: Manifest) -> bytes:
    scrubbed = without_local_sources(recipe)
    if scrubbed == recipe:
        return path.read_bytes()
    text = dump_recipe(recipe_from_mapping(scrubbed, origin=str(path)))
    return (text + replace(manifest, recipe=recipe_digest(read_yaml(text))).to_yaml()).encode()


def without_local_sources(recipe: dict[str, Any]) -> dict[str, Any]:
    """A copy of a flat recipe in which the backbone does not come from a folder of this machine.

    Its weights are in the saved model itself. Raises StorageError where another value holds the user's folder.
    """
    backbone = dict(recipe.get("backbone") or {})
    if _is_local(backbone.get("pretrained")):
        backbone["pretrained"] = False
    if _is_local(backbone.get("name")):
        # The configuration replaces the name. Without one, the last part of the path is kept.
        backbone["name"] = None if backbone.get("config") else re.split(r"[/\\]", backbone["name"].rstrip("/\\"))[-1]
        backbone["pretrained"] = False
        backbone["revision"] = None
    scrubbed = {**recipe, "backbone": backbone} if backbone else dict(recipe)
    home = str(Path.home())
    for path, text in _texts(scrubbed):
        if len(home) > 1 and home in text:
            raise StorageError(
                f"recipe.yaml: {path} holds a path of this machine; change it before the model is pushed."
            )
    return scrubbed


def _is_local(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if _PATH_LIKE.match(value):
        return True
    try:
        return "/" in value and Path(value).exists()
    except (OSError, ValueError):
        return False


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path.lstrip("."), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key, f"{path}.{key}")
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}")
