"""`load_model`: a saved folder, a Hub repository, a YAML file or a checkpoint of another library becomes a model."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.assembly.placement import Device, DType, read_device, read_dtype
from backbonekit.hub.opening import Opened, open_model
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.weights.adapters import merge_adapter as merged, put_adapter


def load_model(
    where: str | Path,
    overrides: Sequence[str] = (),
    *,
    revision: str | None = None,
    seed: int = 0,
    merge_adapter: bool = False,
    device: Device = None,
    dtype: DType = None,
) -> ComposedModel:
    """A model with its weights, in eval mode.

    `where`: a folder that `save_pretrained` wrote, ours or transformers'; a Hub repository of either kind; a YAML
    recipe (then without weights). `overrides` change parts: unchanged parts keep their weights, and
    `model.weight_report` lists which are new. `seed`: of what is new. `merge_adapter`: adds a LoRA
    adapter that was saved beside the weights to them; without it, peft puts it in as it was. `device`, `dtype`: as of
    `build_model`.
    """
    chosen_device, chosen_dtype = read_device(device), read_dtype(dtype)
    opened = open_model(where, revision=revision, beside=True)
    with opened.verification.first():
        recipe, saved = _compose(opened, overrides)
        initial = None if opened.checkpoint is None else InitialWeights(opened.checkpoint, saved, opened.random)
        model = build_composed(recipe, seed=seed, initial=initial, device=chosen_device, dtype=chosen_dtype)
        if opened.adapter is not None:
            put_adapter(model, opened.adapter, origin=opened.origin)
            if merge_adapter:
                merged(model)
    return model


def build_opened(where: str | Path, recipe: Recipe, *, revision: str | None = None, seed: int = 0) -> ComposedModel:
    """A model of this recipe with those of the saved weights that its parts share with the saved recipe, as
    `load_model` has it with overrides. An adapter is merged into the weights."""
    opened = open_model(where, revision=revision)
    _, saved = _compose(opened, ())
    initial = None if opened.checkpoint is None else InitialWeights(opened.checkpoint, saved, opened.random)
    model = build_composed(recipe, seed=seed, initial=initial)
    if opened.adapter is not None:
        put_adapter(model, opened.adapter, origin=opened.origin)
        merged(model)
    return model


def compose_opened(where: str | Path, overrides: Sequence[str] = (), *, revision: str | None = None) -> Recipe:
    """The recipe alone, with overrides, and nothing built."""
    return _compose(open_model(where, revision=revision), overrides)[0]


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
