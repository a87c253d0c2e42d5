"""A composed model into the folder that `load_model` reads, with the model card that its recipe and weights make."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import prediction_of
from backbonekit.hub.card import CardFacts, model_card
from backbonekit.hub.saved_model import save_model
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.recipe import Recipe
from backbonekit.registry.lookup import resolve
from backbonekit.weights.weight_report import WeightReport


def save_composed(
    folder: str | Path,
    *,
    recipe: Recipe,
    weight_report: WeightReport | None,
    state_dict: Mapping[str, Tensor],
    processing: Processing,
    pipeline_tags: Mapping[type, str | None],
) -> Path:
    """recipe.yaml, model.safetensors (sharded when large), preprocessor_config.json, README.md; all or nothing.

    `recipe`: flat and complete. `pipeline_tags`: the Hub's word for each kind of prediction, None where it has none.
    Returns the folder. Raises StorageError, and WeightsError for tensors without values.
    """
    return save_model(
        folder,
        recipe_yaml=dump_recipe(recipe),
        state_dict=state_dict,
        processing=processing,
        card=model_card(_facts(recipe, weight_report, pipeline_tags), processing),
    )


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
        licence=next((source.licence for source in sources if source.licence), None),
        base_model=recipe.backbone.name if is_pretrained else None,
        base_commit=recipe.backbone.revision if is_pretrained else None,
        pipeline_tag=_pipeline_tag(heads, pipeline_tags),
    )


def _pipeline_tag(heads: list[str], pipeline_tags: Mapping[type, str | None]) -> str | None:
    kinds = {prediction_of(resolve("head", name)) for name in heads}
    tags = {tag for kind in kinds if kind is not None and (tag := pipeline_tags.get(kind)) is not None}
    return tags.pop() if len(tags) == 1 else ("image-feature-extraction" if not kinds else None)
