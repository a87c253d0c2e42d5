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
    )
    from backbonekit.hf_models.backbone_classes import (
        BitBackbone as BitBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        ConvNextBackbone as ConvNextBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        ConvNextV2Backbone as ConvNextV2Backbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        Dinov2Backbone as Dinov2Backbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        Dinov2WithRegistersBackbone as Dinov2WithRegistersBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        DINOv3ConvNextBackbone as DINOv3ConvNextBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        DINOv3ViTBackbone as DINOv3ViTBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        FocalNetBackbone as FocalNetBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        HGNetV2Backbone as HGNetV2Backbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        HieraBackbone as HieraBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        MaskFormerSwinBackbone as MaskFormerSwinBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        PvtV2Backbone as PvtV2Backbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        ResNetBackbone as ResNetBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        RTDetrResNetBackbone as RTDetrResNetBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        SwinBackbone as SwinBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        Swinv2Backbone as Swinv2Backbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        VitDetBackbone as VitDetBackbone,
    )
    from backbonekit.hf_models.backbone_classes import (
        VitPoseBackbone as VitPoseBackbone,
    )
    from backbonekit.hf_models.backbone_configs import (
        BeitConfig as BeitConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        BitConfig as BitConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        ConvNextConfig as ConvNextConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        ConvNextV2Config as ConvNextV2Config,
    )
    from backbonekit.hf_models.backbone_configs import (
        Dinov2Config as Dinov2Config,
    )
    from backbonekit.hf_models.backbone_configs import (
        Dinov2WithRegistersConfig as Dinov2WithRegistersConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        DINOv3ConvNextConfig as DINOv3ConvNextConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        DINOv3ViTConfig as DINOv3ViTConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        FocalNetConfig as FocalNetConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        HGNetV2Config as HGNetV2Config,
    )
    from backbonekit.hf_models.backbone_configs import (
        HieraConfig as HieraConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        MaskFormerSwinConfig as MaskFormerSwinConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        PvtV2Config as PvtV2Config,
    )
    from backbonekit.hf_models.backbone_configs import (
        ResNetConfig as ResNetConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        RTDetrResNetConfig as RTDetrResNetConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        SwinConfig as SwinConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        Swinv2Config as Swinv2Config,
    )
    from backbonekit.hf_models.backbone_configs import (
        VitDetConfig as VitDetConfig,
    )
    from backbonekit.hf_models.backbone_configs import (
        VitPoseBackboneConfig as VitPoseBackboneConfig,
    )
    from backbonekit.hf_models.backbone_mixin import (
        BackboneMixin as BackboneMixin,
    )
    from backbonekit.hf_models.backbone_mixin import (
        BackboneOutput as BackboneOutput,
    )
    from backbonekit.hf_models.backbone_mixin import (
        BackboneType as BackboneType,
    )
    from backbonekit.hf_models.config_mixin import (
        BackboneConfigMixin as BackboneConfigMixin,
    )
    from backbonekit.hf_models.model_classes import (
        DeformableDetrForObjectDetection as DeformableDetrForObjectDetection,
    )
    from backbonekit.hf_models.model_classes import (
        DepthAnythingForDepthEstimation as DepthAnythingForDepthEstimation,
    )
    from backbonekit.hf_models.model_classes import (
        DetrForObjectDetection as DetrForObjectDetection,
    )
    from backbonekit.hf_models.model_classes import (
        DFineForObjectDetection as DFineForObjectDetection,
    )
    from backbonekit.hf_models.model_classes import (
        DPTForDepthEstimation as DPTForDepthEstimation,
    )
    from backbonekit.hf_models.model_classes import (
        Mask2FormerForUniversalSegmentation as Mask2FormerForUniversalSegmentation,
    )
    from backbonekit.hf_models.model_classes import (
        MaskFormerForInstanceSegmentation as MaskFormerForInstanceSegmentation,
    )
    from backbonekit.hf_models.model_classes import (
        RTDetrForObjectDetection as RTDetrForObjectDetection,
    )
    from backbonekit.hf_models.model_classes import (
        RTDetrV2ForObjectDetection as RTDetrV2ForObjectDetection,
    )
    from backbonekit.hf_models.model_classes import (
        UperNetForSemanticSegmentation as UperNetForSemanticSegmentation,
    )
    from backbonekit.hf_models.model_classes import (
        VitPoseForPoseEstimation as VitPoseForPoseEstimation,
    )
    from backbonekit.hf_models.model_configs import (
        DeformableDetrConfig as DeformableDetrConfig,
    )
    from backbonekit.hf_models.model_configs import (
        DepthAnythingConfig as DepthAnythingConfig,
    )
    from backbonekit.hf_models.model_configs import (
        DetrConfig as DetrConfig,
    )
    from backbonekit.hf_models.model_configs import (
        DFineConfig as DFineConfig,
    )
    from backbonekit.hf_models.model_configs import (
        DPTConfig as DPTConfig,
    )
    from backbonekit.hf_models.model_configs import (
        Mask2FormerConfig as Mask2FormerConfig,
    )
    from backbonekit.hf_models.model_configs import (
        MaskFormerConfig as MaskFormerConfig,
    )
    from backbonekit.hf_models.model_configs import (
        RTDetrConfig as RTDetrConfig,
    )
    from backbonekit.hf_models.model_configs import (
        RTDetrV2Config as RTDetrV2Config,
    )
    from backbonekit.hf_models.model_configs import (
        UperNetConfig as UperNetConfig,
    )
    from backbonekit.hf_models.model_configs import (
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
