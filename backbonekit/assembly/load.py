"""`load_model`: a saved folder, a Hub repository, a YAML file or a checkpoint of another library becomes a model."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.assembly.placement import Device, DType, read_device, read_dtype
from backbonekit.errors import WeightsError
from backbonekit.hub.lock import read_lock
from backbonekit.hub.manifest import Verification
from backbonekit.hub.opening import Opened, open_model
from backbonekit.hub.saved_model import CONFIG, RECIPE
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.weights.adapters import merge_adapter as merged, put_adapter
from backbonekit.weights.checkpoint import open_checkpoint
from backbonekit.weights.hub import Access, reading_with
from backbonekit.weights.repository import open_repository
from backbonekit.weights.untrusted_files import user_path

_PARTS = ("backbone.", "neck.", "shared_neck.", "head.")  # how the names of a composed model's weights begin


def load_model(
    where: str | Path,
    overrides: Sequence[str] = (),
    *,
    revision: str | None = None,
    seed: int = 0,
    merge_adapter: bool = False,
    locked: bool = False,
    device: Device = None,
    dtype: DType = None,
    token: str | bool | None = None,
) -> ComposedModel:
    """A model with its weights, in eval mode.

    `where`: a folder that `save_pretrained` wrote, ours or transformers'; a Hub repository of either kind, as
    owner/name or as `hf://owner/name@revision/folder`; a YAML recipe (then without weights). `overrides` change parts:
    unchanged parts keep their weights, and `model.weight_report` lists which are new. `seed`: of what is new.
    `merge_adapter`: adds a LoRA adapter that was saved beside the weights to them; without it, peft puts it in as it
    was. `locked`: raises RecipeError with every difference where the model would be another than the one that was
    saved: other versions of what builds it, another recipe, other weights. `device`, `dtype`: as of `build_model`.
    `token`: for private repositories; None and True are the stored one (`hf auth login`, HF_TOKEN), False is none.
    """
    chosen_device, chosen_dtype = read_device(device), read_dtype(dtype)
    with ExitStack() as opening:
        if token is not None:
            opening.enter_context(reading_with(Access(token=token)))
        lock = read_lock(where, overrides, revision=revision) if locked else None
        opened = opening.enter_context(_verified(open_model(where, revision=revision, beside=True)))
        recipe, saved = _compose(opened, overrides)
        initial = _initial(opened, saved)
        model = build_composed(recipe, seed=seed, initial=initial, device=chosen_device, dtype=chosen_dtype)
        if opened.adapter is not None:
            put_adapter(model, opened.adapter, origin=opened.origin)
            if merge_adapter:
                merged(model)
    if lock is not None and model.weight_report is not None:
        lock.check_built(model.weight_report)
    return model


@contextmanager
def _verified(opened: Opened) -> Iterator[Opened]:
    with opened.verification.first():
        yield opened


def build_opened(where: str | Path, recipe: Recipe, *, revision: str | None = None, seed: int = 0) -> ComposedModel:
    """A model of this recipe with those of the saved weights that its parts share with the saved recipe, as
    `load_model` has it with overrides. An adapter is merged into the weights."""
    opened = open_model(where, revision=revision)
    _, saved = _compose(opened, ())
    initial = _initial(opened, saved)
    model = build_composed(recipe, seed=seed, initial=initial)
    if opened.adapter is not None:
        put_adapter(model, opened.adapter, origin=opened.origin)
        merged(model)
    return model


def build_filled(recipe: Recipe, weights: str | Path, *, revision: str | None = None, seed: int = 0) -> ComposedModel:
    """A model of this recipe, every part filled with the weights of another model.

    `weights`: what `load_model` opens, a folder with `model.safetensors` alone, or one `.safetensors` file, both with
    the names of a model's `state_dict()`. Raises WeightsError where a tensor is missing, left over or of another shape.
    """
    path, random, bases = user_path(weights), {}, None
    if path.is_file():
        checkpoint, verification = open_checkpoint(path), Verification()
    else:
        repository = open_repository(weights, revision=revision)
        if repository.has(RECIPE) or repository.has(CONFIG):
            opened = open_model(weights, revision=repository.commit or revision, beside=True)
            if opened.checkpoint is None or opened.adapter is not None:
                what = "no weights" if opened.checkpoint is None else "a LoRA adapter beside its weights"
                raise WeightsError(f"weights={weights}: it has {what}. The fix: save the model there, merged.")
            checkpoint, verification = opened.checkpoint, opened.verification
            random, bases = opened.random, opened.bases
        else:
            checkpoint, verification = open_checkpoint(repository), Verification()
    left_over = [name for name in checkpoint if not name.startswith(_PARTS)]
    if left_over:
        raise WeightsError(
            f"{checkpoint.origin}: {left_over[0]!r} is no name of a model's weights ({len(left_over)} such names); they"
            f" begin with {', '.join(_PARTS)}. For a backbone alone: backbone.pretrained=FOLDER."
        )
    with verification.first():
        return build_composed(recipe, seed=seed, initial=InitialWeights(checkpoint, recipe, random, bases))


def compose_opened(where: str | Path, overrides: Sequence[str] = (), *, revision: str | None = None) -> Recipe:
    """The recipe alone, with overrides, and nothing built."""
    return _compose(open_model(where, revision=revision), overrides)[0]


def _initial(opened: Opened, saved: Recipe) -> InitialWeights | None:
    if opened.checkpoint is None:
        return None
    return InitialWeights(opened.checkpoint, saved, opened.random, opened.bases)


def _compose(opened: Opened, overrides: Sequence[str]) -> tuple[Recipe, Recipe]:
    mapping = dict(opened.recipe_mapping)
    if opened.processing is not None and not mapping.get("processing"):
        # Into the recipe before the overrides, so that a new backbone brings its own mean and deviation.
        mapping["processing"] = plain_data(asdict(opened.processing))
    if opened.checkpoint is None:
        # Written by hand: what is missing (head.num_classes) may come with the overrides.
        recipe = compose_recipe(mapping, overrides)
        return recipe, recipe
    saved = recipe_from_mapping(mapping, origin=opened.origin)
    saved = replace(saved, notes=(*saved.notes, *opened.notes))
    return (compose_recipe(saved, overrides) if overrides else saved), saved
