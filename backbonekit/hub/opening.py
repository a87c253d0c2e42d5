"""Opens anything as a recipe, weights and processing: a saved model, a YAML recipe, a checkpoint of transformers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backbonekit.contract.labels import gaps_note, read_id2label
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, StorageError, nearest
from backbonekit.hub.manifest import Verification
from backbonekit.hub.saved_model import RECIPE, read_folder, read_recipe
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing
from backbonekit.recipe.compose import flat_form
from backbonekit.registry.lookup import is_known, names, resolve
from backbonekit.weights.adapters import Adapter
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.checkpoint import Checkpoint, open_checkpoint
from backbonekit.weights.hub_address import is_address
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import user_path

_TRANSFORMERS_CONFIG = "config.json"
_YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Opened:
    """`recipe_mapping`: plain data that nobody has checked yet. `checkpoint`: the weights under our names, unread, or
    None. `origin`: where from, for people. `commit`: of a Hub repository; everything is from that commit. `random`: the
    weights that were never trained, and `bases`: what they started from, as in `Manifest`. `notes`: what to know about
    its content, such as words of a configuration that were ignored. `adapter`: the one that was saved beside the
    weights, or None. `verification`: of saved weights against their sha256."""

    recipe_mapping: dict[str, Any]
    checkpoint: Checkpoint | None
    processing: Processing | None
    origin: str
    commit: str | None
    random: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, BaseWeights] | None = None
    notes: tuple[str, ...] = ()
    adapter: Adapter | None = None
    verification: Verification = field(default_factory=Verification)


def open_model(where: str | Path, *, revision: str | None = None, beside: bool = False) -> Opened:
    """`where`: a folder or Hub repository that we or transformers saved, or a YAML file (then without weights). A
    repository is owner/name or `hf://owner/name@revision/folder`.

    `revision`: a branch, tag or commit of a Hub repository. `beside`: saved weights are compared with their sha256
    beside what the caller does with them, who finishes `verification` before anything of them is handed out; without
    it, before this returns.
    Raises StorageError, WeightsError, and RecipeError for a recipe or an architecture that is unknown.
    """
    path = user_path(where)
    if path.suffix.lower() in _YAML and not path.is_dir() and not is_address(where):
        if revision is not None:
            raise StorageError(f"{where} is a local file and has no revision {revision!r}.")
        if not path.is_file():
            raise StorageError(f"The recipe {str(where)!r} does not exist.")
        return Opened(flat_form(read_recipe(path)[0]), None, None, str(where), None)
    repository = _open_repository(where, revision)
    if repository.has(RECIPE):
        model = read_folder(repository, beside=beside)
        # What was written by hand may name parts alone; what was saved is read as it stands.
        recipe = flat_form(model.recipe) if model.manifest is None else model.recipe
        random = {} if model.manifest is None else model.manifest.random
        return Opened(
            recipe,
            model.checkpoint,
            model.processing,
            repository.origin,
            repository.commit,
            random=random,
            bases=None if model.manifest is None else model.manifest.bases,
            adapter=model.adapter,
            verification=model.verification,
        )
    if repository.has(_TRANSFORMERS_CONFIG):
        return _open_transformers(repository)
    raise StorageError(
        f"{repository.origin} is no model: it has neither {RECIPE} (saved by backbonekit) nor {_TRANSFORMERS_CONFIG}"
        " (saved by transformers)."
    )


def _open_repository(where: str | Path, revision: str | None) -> Repository:
    """The repository; where there is none, the error names the folder that was probably meant."""
    try:
        return open_repository(where, revision=revision)
    except StorageError as error:
        if is_address(where):
            raise
        path = Path(where).expanduser()
        try:
            beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()]
        except (OSError, ValueError):
            raise error from None
        match = nearest(path.name, beside) if beside and str(path.parent) != "." else ""
        if not match:
            raise
        raise StorageError(f"{error} There is a folder {path.parent}, though, without {path.name}; {match}") from error


def _open_transformers(repository: Repository) -> Opened:
    config = repository.json(_TRANSFORMERS_CONFIG)
    shown = f"{repository.origin}: {_TRANSFORMERS_CONFIG}"
    converter = resolve("checkpoint", _architecture(config, shown))
    recipe = converter.recipe(config)
    checkpoint = converter.key_map(config).translate(open_checkpoint(repository))
    processing = None
    if repository.has(PREPROCESSOR_CONFIG):
        shown = f"{repository.origin}: {PREPROCESSOR_CONFIG}"
        processing = read_processing(repository.json(PREPROCESSOR_CONFIG), shown=shown)
    notes = (*converter.notes(config), *_notes(config))
    return Opened(dict(recipe), checkpoint, processing, repository.origin, repository.commit, notes=notes)


def _notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = read_id2label(config.get("id2label"), [])
    note = None if names is None else gaps_note(names)
    return () if note is None else (note,)


def _architecture(config: Mapping[str, Any], shown: str) -> str:
    given = config.get("architectures")
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        raise StorageError(
            f"{shown} names no architecture of transformers (`architectures`); a backbone alone is opened by a recipe:"
            " `backbone: {source: hf, name: ...}`."
        )
    for name in given:
        if is_known("checkpoint", name):
            return name
    raise RecipeError(
        f"{shown}: the class {given[0][:100]!r} is not supported; {_of_its_kind(given[0])} A"
        " backbone alone is opened by a recipe: `backbone: {source: hf, name: ...}`."
    )


# What a class of transformers predicts, by the end of its name: the ends of our classes' names for the same.
_MASKS, _BOXES = ("UniversalSegmentation", "InstanceSegmentation"), ("ObjectDetection",)
_KINDS = {
    "ObjectDetection": _BOXES,
    "ZeroShotObjectDetection": _BOXES,
    "Segmentation": _MASKS,
    "UniversalSegmentation": _MASKS,
    "InstanceSegmentation": _MASKS,
    "SemanticSegmentation": ("SemanticSegmentation", "UniversalSegmentation"),
    "DepthEstimation": ("DepthEstimation",),
    "ImageClassification": ("ImageClassification",),
    "PoseEstimation": ("PoseEstimation",),
    "KeypointDetection": ("PoseEstimation",),
}


def _of_its_kind(name: str) -> str:
    """The classes that predict the same, or the nearest name where the name says nothing about it."""
    kind = next((kind for kind in sorted(_KINDS, key=len, reverse=True) if name.endswith(f"For{kind}")), None)
    known = names("checkpoint")
    if kind is None:
        return nearest(name, known)
    same = [one for one in sorted(known) if one.endswith(tuple(f"For{end}" for end in _KINDS[kind]))]
    return f"supported for the same task: {', '.join(same)}."
