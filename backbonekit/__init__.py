"""Compose vision models from YAML recipes: any backbone, a neck, a head, checked before a weight is read.

The names below load when they are first used: importing backbonekit imports no torch.
"""

from importlib import import_module
from typing import Any

from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.version import VERSION as __version__

_PUBLIC = {
    "build_model": "backbonekit.assembly.build",
    "load_model": "backbonekit.sharing.load",
    "compose_recipe": "backbonekit.recipe.compose",
    "Recipe": "backbonekit.recipe.recipe",
    "ComposedModel": "backbonekit.assembly.composed_model",
    "ModelOutput": "backbonekit.contract.answers",
    "ImageProcessor": "backbonekit.image_processing.processor",
    "draw": "backbonekit.visualization.draw",
    "freeze": "backbonekit.training.freeze",
    "parameter_groups": "backbonekit.training.parameter_groups",
    "gradient_checkpointing": "backbonekit.training.gradient_checkpointing",
    "register": "backbonekit.registry.lookup",
    "AutoBackbone": "backbonekit.hf_models",
    "BackboneMixin": "backbonekit.hf_models",
    "BackboneConfigMixin": "backbonekit.hf_models",
    "BackboneOutput": "backbonekit.hf_models",
    "ResNetConfig": "backbonekit.hf_models",
    "ResNetBackbone": "backbonekit.hf_models",
    "SwinConfig": "backbonekit.hf_models",
    "SwinBackbone": "backbonekit.hf_models",
    "MaskFormerSwinConfig": "backbonekit.hf_models",
    "MaskFormerSwinBackbone": "backbonekit.hf_models",
    "Dinov2Config": "backbonekit.hf_models",
    "Dinov2Backbone": "backbonekit.hf_models",
    "Dinov2WithRegistersConfig": "backbonekit.hf_models",
    "Dinov2WithRegistersBackbone": "backbonekit.hf_models",
    "ConvNextConfig": "backbonekit.hf_models",
    "ConvNextBackbone": "backbonekit.hf_models",
    "ConvNextV2Config": "backbonekit.hf_models",
    "ConvNextV2Backbone": "backbonekit.hf_models",
    "DINOv3ConvNextConfig": "backbonekit.hf_models",
    "DINOv3ConvNextBackbone": "backbonekit.hf_models",
    "PvtV2Config": "backbonekit.hf_models",
    "PvtV2Backbone": "backbonekit.hf_models",
    "Swinv2Config": "backbonekit.hf_models",
    "Swinv2Backbone": "backbonekit.hf_models",
    "RTDetrResNetConfig": "backbonekit.hf_models",
    "RTDetrResNetBackbone": "backbonekit.hf_models",
    "DINOv3ViTConfig": "backbonekit.hf_models",
    "DINOv3ViTBackbone": "backbonekit.hf_models",
    "HGNetV2Config": "backbonekit.hf_models",
    "HGNetV2Backbone": "backbonekit.hf_models",
    "BitConfig": "backbonekit.hf_models",
    "BitBackbone": "backbonekit.hf_models",
    "BeitConfig": "backbonekit.hf_models",
    "BeitBackbone": "backbonekit.hf_models",
    "FocalNetConfig": "backbonekit.hf_models",
    "FocalNetBackbone": "backbonekit.hf_models",
    "VitDetConfig": "backbonekit.hf_models",
    "VitDetBackbone": "backbonekit.hf_models",
    "HieraConfig": "backbonekit.hf_models",
    "HieraBackbone": "backbonekit.hf_models",
    "TimmBackboneConfig": "backbonekit.hf_models",
    "TimmBackbone": "backbonekit.hf_models",
}

__all__ = [  # noqa: RUF022 - by subject
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
    "BackboneMixin",
    "BackboneConfigMixin",
    "BackboneOutput",
    "ResNetConfig",
    "ResNetBackbone",
    "SwinConfig",
    "SwinBackbone",
    "MaskFormerSwinConfig",
    "MaskFormerSwinBackbone",
    "Dinov2Config",
    "Dinov2Backbone",
    "Dinov2WithRegistersConfig",
    "Dinov2WithRegistersBackbone",
    "ConvNextConfig",
    "ConvNextBackbone",
    "ConvNextV2Config",
    "ConvNextV2Backbone",
    "DINOv3ConvNextConfig",
    "DINOv3ConvNextBackbone",
    "PvtV2Config",
    "PvtV2Backbone",
    "Swinv2Config",
    "Swinv2Backbone",
    "RTDetrResNetConfig",
    "RTDetrResNetBackbone",
    "DINOv3ViTConfig",
    "DINOv3ViTBackbone",
    "HGNetV2Config",
    "HGNetV2Backbone",
    "BitConfig",
    "BitBackbone",
    "BeitConfig",
    "BeitBackbone",
    "FocalNetConfig",
    "FocalNetBackbone",
    "VitDetConfig",
    "VitDetBackbone",
    "HieraConfig",
    "HieraBackbone",
    "TimmBackboneConfig",
    "TimmBackbone",
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
