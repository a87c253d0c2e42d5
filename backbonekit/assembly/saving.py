"""Writing a composed model down: the folder, or the Hub repository, that `load_model` reads."""

import tempfile
from pathlib import Path

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.signature import prediction_of
from backbonekit.contract.predictions import ClassScores, DenseDepth, DenseLogits, Heatmaps, MaskQueries
from backbonekit.hub.card import CardFacts, model_card
from backbonekit.hub.push import push_folder
from backbonekit.hub.saved_model import save_model
from backbonekit.recipe.dump import dump_recipe

# The Hub's words for what a model does, by the kind of its prediction.
_PIPELINE_TAGS = {
    ClassScores: "image-classification",
    DenseLogits: "image-segmentation",
    MaskQueries: "image-segmentation",
    DenseDepth: "depth-estimation",
    Heatmaps: "keypoint-detection",
}


def save_pretrained(model: ComposedModel, folder: str | Path) -> Path:
    """recipe.yaml, model.safetensors (sharded when large), preprocessor_config.json, README.md; all or nothing."""
    processing = model.processor.processing
    return save_model(
        folder,
        recipe_yaml=dump_recipe(model.recipe),
        state_dict=model.state_dict(),
        processing=processing,
        card=model_card(_facts(model), processing),
    )


def push_to_hub(model: ComposedModel, identifier: str, *, private: bool, token: str | None) -> str:
    """Saves to a temporary folder and uploads it in one commit."""
    with tempfile.TemporaryDirectory() as folder:
        saved = save_pretrained(model, Path(folder) / "model")
        return push_folder(saved, identifier, private=private, token=token)


def _facts(model: ComposedModel) -> CardFacts:
    recipe, report = model.recipe, model.weight_report
    backbone = recipe.backbone.name or str((recipe.backbone.config or {}).get("model_type"))
    heads = [recipe.head] if recipe.head else [task.head for task in recipe.heads.values()]
    necks = [part.name for part in recipe.neck]
    parts = [f"Backbone: {backbone}, maps {list(recipe.backbone.out_indices or ())}."]
    parts += [f"Neck: {', '.join(necks)}."] if necks else []
    parts += [f"Head: {', '.join(head.name for head in heads)}."] if heads else []
    sources = report.sources if report else []
    kinds = {prediction_of(type(chain.head)) for chain in model.chains().values() if chain.head is not None}
    tags = {_PIPELINE_TAGS[kind] for kind in kinds if kind in _PIPELINE_TAGS}
    started = bool(recipe.backbone.pretrained)
    return CardFacts(
        name=" + ".join([backbone, *necks, *(head.name for head in heads)]),
        parts=parts,
        weights=[f"{source.part}: {source.origin}" for source in sources],
        licence=next((source.licence for source in sources if source.licence), None),
        base_model=recipe.backbone.name if started else None,
        base_commit=recipe.backbone.revision if started else None,
        pipeline_tag=tags.pop() if len(tags) == 1 else ("image-feature-extraction" if not kinds else None),
    )
