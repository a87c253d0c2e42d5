"""The names of the Hugging Face guide: only the import changes. They load when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backbonekit.backbones.hf.class_names import CLASS_NAMES, backbone_name, config_name
from backbonekit.registry.model_names import MODELS

# What type checkers and editors read; a test compares it with the table below.
if TYPE_CHECKING:
    from backbonekit.hf_models.auto_backbone import (
        AutoBackbone as AutoBackbone,
    )
    from backbonekit.hf_models.auto_image_processor import (
        AutoImageProcessor as AutoImageProcessor,
    )
    from backbonekit.hf_models.backbone_classes import (
        BeitBackbone as BeitBackbone,
        BitBackbone as BitBackbone,
        ConvNextBackbone as ConvNextBackbone,
        ConvNextV2Backbone as ConvNextV2Backbone,
        Dinov2Backbone as Dinov2Backbone,
        Dinov2WithRegistersBackbone as Dinov2WithRegistersBackbone,
        DINOv3ConvNextBackbone as DINOv3ConvNextBackbone,
        DINOv3ViTBackbone as DINOv3ViTBackbone,
        FocalNetBackbone as FocalNetBackbone,
        HGNetV2Backbone as HGNetV2Backbone,
        HieraBackbone as HieraBackbone,
        MaskFormerSwinBackbone as MaskFormerSwinBackbone,
        PvtV2Backbone as PvtV2Backbone,
        ResNetBackbone as ResNetBackbone,
        RTDetrResNetBackbone as RTDetrResNetBackbone,
        SwinBackbone as SwinBackbone,
        Swinv2Backbone as Swinv2Backbone,
        VitDetBackbone as VitDetBackbone,
        VitPoseBackbone as VitPoseBackbone,
    )
    from backbonekit.hf_models.backbone_configs import (
        BeitConfig as BeitConfig,
        BitConfig as BitConfig,
        ConvNextConfig as ConvNextConfig,
        ConvNextV2Config as ConvNextV2Config,
        Dinov2Config as Dinov2Config,
        Dinov2WithRegistersConfig as Dinov2WithRegistersConfig,
        DINOv3ConvNextConfig as DINOv3ConvNextConfig,
        DINOv3ViTConfig as DINOv3ViTConfig,
        FocalNetConfig as FocalNetConfig,
        HGNetV2Config as HGNetV2Config,
        HieraConfig as HieraConfig,
        MaskFormerSwinConfig as MaskFormerSwinConfig,
        PvtV2Config as PvtV2Config,
        ResNetConfig as ResNetConfig,
        RTDetrResNetConfig as RTDetrResNetConfig,
        SwinConfig as SwinConfig,
        Swinv2Config as Swinv2Config,
        VitDetConfig as VitDetConfig,
        VitPoseBackboneConfig as VitPoseBackboneConfig,
    )
    from backbonekit.hf_models.backbone_mixin import (
        BackboneMixin as BackboneMixin,
        BackboneOutput as BackboneOutput,
        BackboneType as BackboneType,
    )
    from backbonekit.hf_models.config_mixin import (
        BackboneConfigMixin as BackboneConfigMixin,
    )
    from backbonekit.hf_models.model_classes import (
        DeformableDetrForObjectDetection as DeformableDetrForObjectDetection,
        DepthAnythingForDepthEstimation as DepthAnythingForDepthEstimation,
        DetrForObjectDetection as DetrForObjectDetection,
        DFineForObjectDetection as DFineForObjectDetection,
        DPTForDepthEstimation as DPTForDepthEstimation,
        Mask2FormerForUniversalSegmentation as Mask2FormerForUniversalSegmentation,
        MaskFormerForInstanceSegmentation as MaskFormerForInstanceSegmentation,
        RTDetrForObjectDetection as RTDetrForObjectDetection,
        RTDetrV2ForObjectDetection as RTDetrV2ForObjectDetection,
        UperNetForSemanticSegmentation as UperNetForSemanticSegmentation,
        VitPoseForPoseEstimation as VitPoseForPoseEstimation,
    )
    from backbonekit.hf_models.model_configs import (
        DeformableDetrConfig as DeformableDetrConfig,
        DepthAnythingConfig as DepthAnythingConfig,
        DetrConfig as DetrConfig,
        DFineConfig as DFineConfig,
        DPTConfig as DPTConfig,
        Mask2FormerConfig as Mask2FormerConfig,
        MaskFormerConfig as MaskFormerConfig,
        RTDetrConfig as RTDetrConfig,
        RTDetrV2Config as RTDetrV2Config,
        UperNetConfig as UperNetConfig,
        VitPoseConfig as VitPoseConfig,
    )
    from backbonekit.hf_models.model_outputs import (
        MaskFormerForInstanceSegmentationOutput as MaskFormerForInstanceSegmentationOutput,
    )
    from backbonekit.hf_models.timm_backbone import (
        TimmBackbone as TimmBackbone,
    )
    from backbonekit.hf_models.timm_config import (
        TimmBackboneConfig as TimmBackboneConfig,
    )

_HERE = "backbonekit.hf_models"
_PUBLIC = {
    **{config_name(model_type): f"{_HERE}.backbone_configs" for model_type in CLASS_NAMES},
    **{backbone_name(model_type): f"{_HERE}.backbone_classes" for model_type in CLASS_NAMES},
    **{named.config: f"{_HERE}.model_configs" for named in MODELS.values()},
    **{named.architecture: f"{_HERE}.model_classes" for named in MODELS.values()},
    "AutoBackbone": f"{_HERE}.auto_backbone",
    "AutoImageProcessor": f"{_HERE}.auto_image_processor",
    "BackboneConfigMixin": f"{_HERE}.config_mixin",
    "BackboneMixin": f"{_HERE}.backbone_mixin",
    "BackboneOutput": f"{_HERE}.backbone_mixin",
    "BackboneType": f"{_HERE}.backbone_mixin",
    "MaskFormerForInstanceSegmentationOutput": f"{_HERE}.model_outputs",
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
