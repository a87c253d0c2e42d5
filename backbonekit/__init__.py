"""Compose vision models from YAML recipes: any backbone, a neck, a head, checked before a weight is read.

The names below load when they are first used: importing backbonekit imports no torch. The names of transformers
(`AutoBackbone`, `ResNetConfig`, `DetrForObjectDetection`, ...) can be imported from here too; `backbonekit.hf_models`
lists them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.version import VERSION as __version__

# What type checkers and editors read; a test compares it with the tables of lazy names.
if TYPE_CHECKING:
    from backbonekit.assembly.build import (
        build_model as build_model,
    )
    from backbonekit.assembly.composed_model import (
        ComposedModel as ComposedModel,
    )
    from backbonekit.assembly.load import (
        load_model as load_model,
    )
    from backbonekit.assembly.predict import (
        predict as predict,
    )
    from backbonekit.contract.features import (
        FeaturePyramid as FeaturePyramid,
    )
    from backbonekit.contract.features import (
        Level as Level,
    )
    from backbonekit.contract.maps import (
        Canvas as Canvas,
    )
    from backbonekit.contract.maps import (
        FeatureMaps as FeatureMaps,
    )
    from backbonekit.contract.predictions import (
        BoxCandidates as BoxCandidates,
    )
    from backbonekit.contract.predictions import (
        BoxQueries as BoxQueries,
    )
    from backbonekit.contract.predictions import (
        ClassScores as ClassScores,
    )
    from backbonekit.contract.predictions import (
        DenseDepth as DenseDepth,
    )
    from backbonekit.contract.predictions import (
        DenseLogits as DenseLogits,
    )
    from backbonekit.contract.predictions import (
        Detections as Detections,
    )
    from backbonekit.contract.predictions import (
        Heatmaps as Heatmaps,
    )
    from backbonekit.contract.predictions import (
        MaskQueries as MaskQueries,
    )
    from backbonekit.contract.predictions import (
        ModelOutput as ModelOutput,
    )
    from backbonekit.contract.predictions import (
        Prediction as Prediction,
    )
    from backbonekit.contract.requirements import (
        Requirement as Requirement,
    )
    from backbonekit.contract.targets import (
        Target as Target,
    )
    from backbonekit.export.export import (
        export_model as export_model,
    )
    from backbonekit.hf_models import (
        AutoBackbone as AutoBackbone,
    )
    from backbonekit.hf_models import (
        AutoImageProcessor as AutoImageProcessor,
    )
    from backbonekit.hf_models import (
        BackboneConfigMixin as BackboneConfigMixin,
    )
    from backbonekit.hf_models import (
        BackboneMixin as BackboneMixin,
    )
    from backbonekit.hf_models import (
        BackboneOutput as BackboneOutput,
    )
    from backbonekit.hf_models import (
        BackboneType as BackboneType,
    )
    from backbonekit.hf_models import (
        BeitBackbone as BeitBackbone,
    )
    from backbonekit.hf_models import (
        BeitConfig as BeitConfig,
    )
    from backbonekit.hf_models import (
        BitBackbone as BitBackbone,
    )
    from backbonekit.hf_models import (
        BitConfig as BitConfig,
    )
    from backbonekit.hf_models import (
        ConvNextBackbone as ConvNextBackbone,
    )
    from backbonekit.hf_models import (
        ConvNextConfig as ConvNextConfig,
    )
    from backbonekit.hf_models import (
        ConvNextV2Backbone as ConvNextV2Backbone,
    )
    from backbonekit.hf_models import (
        ConvNextV2Config as ConvNextV2Config,
    )
    from backbonekit.hf_models import (
        DeformableDetrConfig as DeformableDetrConfig,
    )
    from backbonekit.hf_models import (
        DeformableDetrForObjectDetection as DeformableDetrForObjectDetection,
    )
    from backbonekit.hf_models import (
        DepthAnythingConfig as DepthAnythingConfig,
    )
    from backbonekit.hf_models import (
        DepthAnythingForDepthEstimation as DepthAnythingForDepthEstimation,
    )
    from backbonekit.hf_models import (
        DetrConfig as DetrConfig,
    )
    from backbonekit.hf_models import (
        DetrForObjectDetection as DetrForObjectDetection,
    )
    from backbonekit.hf_models import (
        DFineConfig as DFineConfig,
    )
    from backbonekit.hf_models import (
        DFineForObjectDetection as DFineForObjectDetection,
    )
    from backbonekit.hf_models import (
        Dinov2Backbone as Dinov2Backbone,
    )
    from backbonekit.hf_models import (
        Dinov2Config as Dinov2Config,
    )
    from backbonekit.hf_models import (
        Dinov2WithRegistersBackbone as Dinov2WithRegistersBackbone,
    )
    from backbonekit.hf_models import (
        Dinov2WithRegistersConfig as Dinov2WithRegistersConfig,
    )
    from backbonekit.hf_models import (
        DINOv3ConvNextBackbone as DINOv3ConvNextBackbone,
    )
    from backbonekit.hf_models import (
        DINOv3ConvNextConfig as DINOv3ConvNextConfig,
    )
    from backbonekit.hf_models import (
        DINOv3ViTBackbone as DINOv3ViTBackbone,
    )
    from backbonekit.hf_models import (
        DINOv3ViTConfig as DINOv3ViTConfig,
    )
    from backbonekit.hf_models import (
        DPTConfig as DPTConfig,
    )
    from backbonekit.hf_models import (
        DPTForDepthEstimation as DPTForDepthEstimation,
    )
    from backbonekit.hf_models import (
        FocalNetBackbone as FocalNetBackbone,
    )
    from backbonekit.hf_models import (
        FocalNetConfig as FocalNetConfig,
    )
    from backbonekit.hf_models import (
        HGNetV2Backbone as HGNetV2Backbone,
    )
    from backbonekit.hf_models import (
        HGNetV2Config as HGNetV2Config,
    )
    from backbonekit.hf_models import (
        HieraBackbone as HieraBackbone,
    )
    from backbonekit.hf_models import (
        HieraConfig as HieraConfig,
    )
    from backbonekit.hf_models import (
        Mask2FormerConfig as Mask2FormerConfig,
    )
    from backbonekit.hf_models import (
        Mask2FormerForUniversalSegmentation as Mask2FormerForUniversalSegmentation,
    )
    from backbonekit.hf_models import (
        MaskFormerConfig as MaskFormerConfig,
    )
    from backbonekit.hf_models import (
        MaskFormerForInstanceSegmentation as MaskFormerForInstanceSegmentation,
    )
    from backbonekit.hf_models import (
        MaskFormerForInstanceSegmentationOutput as MaskFormerForInstanceSegmentationOutput,
    )
    from backbonekit.hf_models import (
        MaskFormerSwinBackbone as MaskFormerSwinBackbone,
    )
    from backbonekit.hf_models import (
        MaskFormerSwinConfig as MaskFormerSwinConfig,
    )
    from backbonekit.hf_models import (
        PvtV2Backbone as PvtV2Backbone,
    )
    from backbonekit.hf_models import (
        PvtV2Config as PvtV2Config,
    )
    from backbonekit.hf_models import (
        ResNetBackbone as ResNetBackbone,
    )
    from backbonekit.hf_models import (
        ResNetConfig as ResNetConfig,
    )
    from backbonekit.hf_models import (
        RTDetrConfig as RTDetrConfig,
    )
    from backbonekit.hf_models import (
        RTDetrForObjectDetection as RTDetrForObjectDetection,
    )
    from backbonekit.hf_models import (
        RTDetrResNetBackbone as RTDetrResNetBackbone,
    )
    from backbonekit.hf_models import (
        RTDetrResNetConfig as RTDetrResNetConfig,
    )
    from backbonekit.hf_models import (
        RTDetrV2Config as RTDetrV2Config,
    )
    from backbonekit.hf_models import (
        RTDetrV2ForObjectDetection as RTDetrV2ForObjectDetection,
    )
    from backbonekit.hf_models import (
        SwinBackbone as SwinBackbone,
    )
    from backbonekit.hf_models import (
        SwinConfig as SwinConfig,
    )
    from backbonekit.hf_models import (
        Swinv2Backbone as Swinv2Backbone,
    )
    from backbonekit.hf_models import (
        Swinv2Config as Swinv2Config,
    )
    from backbonekit.hf_models import (
        TimmBackbone as TimmBackbone,
    )
    from backbonekit.hf_models import (
        TimmBackboneConfig as TimmBackboneConfig,
    )
    from backbonekit.hf_models import (
        UperNetConfig as UperNetConfig,
    )
    from backbonekit.hf_models import (
        UperNetForSemanticSegmentation as UperNetForSemanticSegmentation,
    )
    from backbonekit.hf_models import (
        VitDetBackbone as VitDetBackbone,
    )
    from backbonekit.hf_models import (
        VitDetConfig as VitDetConfig,
    )
    from backbonekit.hf_models import (
        VitPoseBackbone as VitPoseBackbone,
    )
    from backbonekit.hf_models import (
        VitPoseBackboneConfig as VitPoseBackboneConfig,
    )
    from backbonekit.hf_models import (
        VitPoseConfig as VitPoseConfig,
    )
    from backbonekit.hf_models import (
        VitPoseForPoseEstimation as VitPoseForPoseEstimation,
    )
    from backbonekit.image_processing.coco import (
        coco_targets as coco_targets,
    )
    from backbonekit.image_processing.processor import (
        ImageProcessor as ImageProcessor,
    )
    from backbonekit.recipe.compose import (
        compose_recipe as compose_recipe,
    )
    from backbonekit.recipe.recipe import (
        Recipe as Recipe,
    )
    from backbonekit.registry.lookup import (
        register as register,
    )
    from backbonekit.training.freeze import (
        freeze as freeze,
    )
    from backbonekit.training.gradient_checkpointing import (
        gradient_checkpointing as gradient_checkpointing,
    )
    from backbonekit.training.parameter_groups import (
        parameter_groups as parameter_groups,
    )
    from backbonekit.visualization.draw import (
        draw as draw,
    )
    from backbonekit.weights.budget import (
        architecture_budget as architecture_budget,
    )

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
    "architecture_budget": "backbonekit.weights.budget",
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
    "coco_targets": "backbonekit.image_processing.coco",
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
    "architecture_budget",
    "build_model",
    "coco_targets",
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
