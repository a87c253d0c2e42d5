"""Compose vision models from YAML recipes: any backbone, a neck, a head, checked before a weight is read.

The names below load when they are first used: importing backbonekit imports no torch.
"""

from importlib import import_module
from typing import Any

from backbonekit.backbones.hf.class_names import public_names
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.registry.model_names import model_class_names
from backbonekit.version import VERSION as __version__

_PUBLIC = {
    "build_model": "backbonekit.assembly.build",
    "load_model": "backbonekit.assembly.load",
    "compose_recipe": "backbonekit.recipe.compose",
    "Recipe": "backbonekit.recipe.recipe",
    "ComposedModel": "backbonekit.assembly.composed_model",
    "ModelOutput": "backbonekit.contract.predictions",
    "ImageProcessor": "backbonekit.image_processing.processor",
    "draw": "backbonekit.visualization.draw",
    "freeze": "backbonekit.training.freeze",
    "parameter_groups": "backbonekit.training.parameter_groups",
    "gradient_checkpointing": "backbonekit.training.gradient_checkpointing",
    "register": "backbonekit.registry.lookup",
    "AutoBackbone": "backbonekit.hf_models",
    "AutoImageProcessor": "backbonekit.hf_models",
    "BackboneMixin": "backbonekit.hf_models",
    "BackboneConfigMixin": "backbonekit.hf_models",
    "BackboneOutput": "backbonekit.hf_models",
    **dict.fromkeys(public_names(), "backbonekit.hf_models"),  # ResNetConfig, ResNetBackbone, and so for every family
    "TimmBackboneConfig": "backbonekit.hf_models",
    "TimmBackbone": "backbonekit.hf_models",
    "MaskFormerConfig": "backbonekit.hf_models",
    "MaskFormerForInstanceSegmentation": "backbonekit.hf_models",
    "MaskFormerForInstanceSegmentationOutput": "backbonekit.hf_models",
    **dict.fromkeys(model_class_names(), "backbonekit.hf_models"),  # DetrConfig, DetrForObjectDetection, ...
}

__all__ = [
    "build_model",
    "load_model",
    "compose_recipe",
    "Recipe",
    "ComposedModel",
    "ModelOutput",
    "ImageProcessor",
    "draw",
    "freeze",
    "parameter_groups",
    "gradient_checkpointing",
    "register",
    "AutoBackbone",
    "AutoImageProcessor",
    "BackboneMixin",
    "BackboneConfigMixin",
    "BackboneOutput",
    *public_names(),
    "TimmBackboneConfig",
    "TimmBackbone",
    "MaskFormerConfig",
    "MaskFormerForInstanceSegmentation",
    "MaskFormerForInstanceSegmentationOutput",
    *model_class_names(),
    "RecipeError",
    "ContractError",
    "WeightsError",
    "StorageError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'backbonekit' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
