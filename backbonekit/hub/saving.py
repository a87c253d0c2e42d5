"""A composed model into the folder that `load_model` reads, with the model card that its recipe and weights make."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import prediction_of
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.hub.card import CardFacts, model_card
from backbonekit.hub.saved_model import RECIPE, model_in, read_recipe, save_model
from backbonekit.hub.transformers_form import transformers_form
from backbonekit.hub.transformers_saving import save_for_transformers
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import resolve
from backbonekit.weights.adapters import Adapter
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.weight_report import WeightReport
from backbonekit.weights.write_folder import file_in
from backbonekit.weights.write_tensors import MAX_SHARD_BYTES

_FROM_HUB = re.compile(r"([\w.\-]+/[\w.\-]+)@[0-9a-f]{8}\b")  # how the origin of weights from the Hub begins


def save_composed(
    folder: str | Path,
    *,
    recipe: Recipe,
    weight_report: WeightReport | None,
    state_dict: Mapping[str, Tensor],
    processing: Processing,
    pipeline_tags: Mapping[type, str | None],
    overwrite: bool | None = None,
    adapter: Adapter | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    for_transformers: bool = False,
) -> Path:
    """recipe.yaml, model.safetensors (sharded when large), preprocessor_config.json, README.md; all or nothing.

    `recipe`: flat and complete. `pipeline_tags`: the Hub's word for each kind of prediction, None where it has none.
    `overwrite`: whether a model in the folder may be replaced; None: one of the same parts. `for_transformers`: with
    `config.json` and transformers' names of the weights in place of the recipe. Returns the folder. Raises
    StorageError, WeightsError for tensors without values, and ContractError for a model that transformers has not.
    """
    facts = _facts(recipe, weight_report, pipeline_tags)
    if for_transformers:
        if adapter is not None:
            raise ContractError("format=transformers: the model has a LoRA adapter. The fix: bk.merge_adapter(model).")
        form = transformers_form(recipe)
        facts = replace(facts, architecture=form.architecture, notes=form.notes)
        return save_for_transformers(
            folder,
            form,
            state_dict=state_dict,
            processing=processing,
            card=model_card(facts, processing),
            overwrite=overwrite,
            max_shard_bytes=max_shard_bytes,
        )
    if not overwrite:
        _check_free(user_path(folder), None if overwrite is False else recipe)
    return save_model(
        folder,
        recipe_yaml=dump_recipe(recipe),
        state_dict=state_dict,
        processing=processing,
        random={} if weight_report is None else weight_report.random,
        is_trained=weight_report is None or adapter is not None or not weight_report.is_random,
        adapter=adapter,
        bases={} if weight_report is None else weight_report.bases,
        max_shard_bytes=max_shard_bytes,
        replaces_any=overwrite is True,
        card=model_card(facts, processing),
    )


def _check_free(folder: Path, recipe: Recipe | None) -> None:
    """Raises StorageError where the folder holds a model, unless it is an older save of the parts of `recipe`."""
    held = model_in(folder)
    if held is None:
        return
    if recipe is not None and held == RECIPE:
        try:
            before = recipe_from_mapping(read_recipe(file_in(folder, RECIPE))[0])
        except (RecipeError, StorageError):  # damaged, or of a later version: nothing says that it is the same
            before = None
        if before is not None and _parts(before) == _parts(recipe):
            return
    raise StorageError(
        f"{folder} holds another model ({held}), which would be lost. The fix: another folder, or overwrite=True."
    )


def _parts(recipe: Recipe) -> tuple[Any, ...]:
    """What a recipe builds; labels, processing and where weights came from may change between two saves."""
    backbone = recipe.backbone
    return backbone.source, backbone.name, backbone.config, recipe.neck, recipe.head, recipe.heads


def _facts(recipe: Recipe, report: WeightReport | None, pipeline_tags: Mapping[type, str | None]) -> CardFacts:
    backbone = recipe.backbone.name or str((recipe.backbone.config or {}).get("model_type"))
    heads = [task.head.name for task in recipe.tasks.values() if task.head is not None]
    necks = [part.name for part in recipe.neck]
    parts = [f"Backbone: {backbone}, maps {list(recipe.backbone.out_indices or ())}."]
    parts += [f"Neck: {', '.join(necks)}."] if necks else []
    parts += [f"Head: {', '.join(heads)}."] if heads else []
    sources = report.sources if report else []
    is_pretrained = bool(recipe.backbone.pretrained)
    return CardFacts(
        name=" + ".join([backbone, *necks, *heads]),
        parts=parts,
        weights=[f"{source.part}: {source.origin}" for source in sources],
        licences=[source.licence for source in sources if source.licence],
        other_bases=[match[1] for source in sources if (match := _FROM_HUB.match(source.origin))],
        classes=() if recipe.labels is None else recipe.labels.names,
        base_model=recipe.backbone.name if is_pretrained else None,
        base_commit=recipe.backbone.revision if is_pretrained else None,
        pipeline_tag=_pipeline_tag(heads, pipeline_tags),
    )


def _pipeline_tag(heads: list[str], pipeline_tags: Mapping[type, str | None]) -> str | None:
    kinds = {prediction_of(resolve("head", name)) for name in heads}
    tags = {tag for kind in kinds if kind is not None and (tag := pipeline_tags.get(kind)) is not None}
    return tags.pop() if len(tags) == 1 else ("image-feature-extraction" if not kinds else None)
