"""The names of the Hugging Face guide: only the import changes. They load when they are first used."""

from importlib import import_module
from typing import Any

from backbonekit.backbones.hf.class_names import public_names
from backbonekit.registry.model_names import model_class_names

_HERE = "backbonekit.hf_models"
_PUBLIC = {
    **dict.fromkeys(public_names(), f"{_HERE}.backbone_classes"),
    **dict.fromkeys(model_class_names(), f"{_HERE}.model_classes"),
    "AutoBackbone": f"{_HERE}.auto_backbone",
    "AutoImageProcessor": f"{_HERE}.auto_image_processor",
    "BackboneConfigMixin": f"{_HERE}.config_mixin",
    "BackboneMixin": f"{_HERE}.backbone_mixin",
    "BackboneOutput": f"{_HERE}.backbone_output",
    "MaskFormerConfig": f"{_HERE}.maskformer_config",
    "MaskFormerForInstanceSegmentation": f"{_HERE}.maskformer",
    "MaskFormerForInstanceSegmentationOutput": f"{_HERE}.maskformer",
    "TimmBackbone": f"{_HERE}.timm_backbone",
    "TimmBackboneConfig": f"{_HERE}.timm_config",
}

__all__ = list(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {_HERE!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(_PUBLIC)
