"""The names of the Hugging Face guide: only the import changes. They load when they are first used."""

from importlib import import_module
from typing import Any

_HERE = "backbonekit.hf_models"
_PUBLIC = {
    "AutoBackbone": f"{_HERE}.auto_backbone",
    "AutoImageProcessor": f"{_HERE}.auto_image_processor",
    "BackboneConfigMixin": f"{_HERE}.config_mixin",
    "BackboneMixin": f"{_HERE}.backbone_mixin",
    "BackboneOutput": f"{_HERE}.backbone_output",
    "BeitBackbone": f"{_HERE}.beit",
    "BeitConfig": f"{_HERE}.beit",
    "BitBackbone": f"{_HERE}.bit",
    "BitConfig": f"{_HERE}.bit",
    "ConvNextBackbone": f"{_HERE}.convnext",
    "ConvNextConfig": f"{_HERE}.convnext",
    "ConvNextV2Backbone": f"{_HERE}.convnextv2",
    "ConvNextV2Config": f"{_HERE}.convnextv2",
    "DINOv3ConvNextBackbone": f"{_HERE}.dinov3_convnext",
    "DINOv3ConvNextConfig": f"{_HERE}.dinov3_convnext",
    "DINOv3ViTBackbone": f"{_HERE}.dinov3_vit",
    "DINOv3ViTConfig": f"{_HERE}.dinov3_vit",
    "Dinov2Backbone": f"{_HERE}.dinov2",
    "Dinov2Config": f"{_HERE}.dinov2",
    "Dinov2WithRegistersBackbone": f"{_HERE}.dinov2_with_registers",
    "Dinov2WithRegistersConfig": f"{_HERE}.dinov2_with_registers",
    "FocalNetBackbone": f"{_HERE}.focalnet",
    "FocalNetConfig": f"{_HERE}.focalnet",
    "HGNetV2Backbone": f"{_HERE}.hgnet_v2",
    "HGNetV2Config": f"{_HERE}.hgnet_v2",
    "HieraBackbone": f"{_HERE}.hiera",
    "HieraConfig": f"{_HERE}.hiera",
    "MaskFormerConfig": f"{_HERE}.maskformer_config",
    "MaskFormerForInstanceSegmentation": f"{_HERE}.maskformer",
    "MaskFormerForInstanceSegmentationOutput": f"{_HERE}.maskformer",
    "MaskFormerSwinBackbone": f"{_HERE}.maskformer_swin",
    "MaskFormerSwinConfig": f"{_HERE}.maskformer_swin",
    "PvtV2Backbone": f"{_HERE}.pvt_v2",
    "PvtV2Config": f"{_HERE}.pvt_v2",
    "RTDetrResNetBackbone": f"{_HERE}.rt_detr_resnet",
    "RTDetrResNetConfig": f"{_HERE}.rt_detr_resnet",
    "ResNetBackbone": f"{_HERE}.resnet",
    "ResNetConfig": f"{_HERE}.resnet",
    "SwinBackbone": f"{_HERE}.swin",
    "SwinConfig": f"{_HERE}.swin",
    "Swinv2Backbone": f"{_HERE}.swinv2",
    "Swinv2Config": f"{_HERE}.swinv2",
    "TimmBackbone": f"{_HERE}.timm_backbone",
    "TimmBackboneConfig": f"{_HERE}.timm_config",
    "VitDetBackbone": f"{_HERE}.vitdet",
    "VitDetConfig": f"{_HERE}.vitdet",
    "VitPoseBackbone": f"{_HERE}.vitpose_backbone",
    "VitPoseBackboneConfig": f"{_HERE}.vitpose_backbone",
}

__all__ = list(_PUBLIC)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {_HERE!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(_PUBLIC)
