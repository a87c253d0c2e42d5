"""Compose vision models from YAML recipes: any backbone, a neck, a head, checked before a weight is read.

The names below load when they are first used: importing backbonekit imports no torch. The names of transformers
(`AutoBackbone`, `ResNetConfig`, `DetrForObjectDetection`, ...) can be imported from here too; `backbonekit.hf_models`
lists them.
"""

from importlib import import_module
from typing import Any

from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.version import VERSION as __version__

_PUBLIC = {
    # models
    "build_model": "backbonekit.assembly.build",
    "load_model": "backbonekit.assembly.load",
    "compose_recipe": "backbonekit.recipe.compose",
    "Recipe": "backbonekit.recipe.recipe",
    "ComposedModel": "backbonekit.assembly.composed_model",
    "ModelOutput": "backbonekit.contract.predictions",
    "ImageProcessor": "backbonekit.image_processing.processor",
    "predict": "backbonekit.assembly.predict",
    "draw": "backbonekit.visualization.draw",
    "export_model": "backbonekit.export.export",
    # training
    "freeze": "backbonekit.training.freeze",
    "parameter_groups": "backbonekit.training.parameter_groups",
    "gradient_checkpointing": "backbonekit.training.gradient_checkpointing",
    # parts of your own
    "register": "backbonekit.registry.lookup",
    "FeaturePyramid": "backbonekit.contract.features",
    "Level": "backbonekit.contract.features",
    "Requirement": "backbonekit.contract.requirements",
    "FeatureMaps": "backbonekit.contract.maps",
    "Canvas": "backbonekit.contract.maps",
    "Target": "backbonekit.contract.targets",
    "Prediction": "backbonekit.contract.predictions",
    "ClassScores": "backbonekit.contract.predictions",
    "DenseLogits": "backbonekit.contract.predictions",
    "DenseDepth": "backbonekit.contract.predictions",
    "MaskQueries": "backbonekit.contract.predictions",
    "BoxQueries": "backbonekit.contract.predictions",
    "BoxCandidates": "backbonekit.contract.predictions",
    "Detections": "backbonekit.contract.predictions",
    "Heatmaps": "backbonekit.contract.predictions",
}

__all__ = [
    "BoxCandidates",
    "BoxQueries",
    "Canvas",
    "ClassScores",
    "ComposedModel",
    "ContractError",
    "DenseDepth",
    "DenseLogits",
    "Detections",
    "FeatureMaps",
    "FeaturePyramid",
    "Heatmaps",
    "ImageProcessor",
    "Level",
    "MaskQueries",
    "ModelOutput",
    "Prediction",
    "Recipe",
    "RecipeError",
    "Requirement",
    "StorageError",
    "Target",
    "WeightsError",
    "__version__",
    "build_model",
    "compose_recipe",
    "draw",
    "export_model",
    "freeze",
    "gradient_checkpointing",
    "load_model",
    "parameter_groups",
    "predict",
    "register",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(_PUBLIC[name]), name)
    else:
        names_of_transformers = import_module("backbonekit.hf_models")
        if name not in names_of_transformers.__all__:
            raise AttributeError(f"module 'backbonekit' has no attribute {name!r}")
        value = getattr(names_of_transformers, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
