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
        Level as Level,
    )
    from backbonekit.contract.maps import (
        Canvas as Canvas,
        FeatureMaps as FeatureMaps,
    )
    from backbonekit.contract.predictions import (
        BoxCandidates as BoxCandidates,
        BoxQueries as BoxQueries,
        ClassScores as ClassScores,
        DenseDepth as DenseDepth,
        DenseLogits as DenseLogits,
        Detections as Detections,
        Heatmaps as Heatmaps,
        MaskQueries as MaskQueries,
        ModelOutput as ModelOutput,
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
    from backbonekit.export.onnx_model import (
        load_onnx as load_onnx,
    )
    from backbonekit.hf_models import (
        AutoBackbone as AutoBackbone,
        AutoImageProcessor as AutoImageProcessor,
        BackboneConfigMixin as BackboneConfigMixin,
        BackboneMixin as BackboneMixin,
        BackboneOutput as BackboneOutput,
        BackboneType as BackboneType,
        BeitBackbone as BeitBackbone,
        BeitConfig as BeitConfig,
        BitBackbone as BitBackbone,
        BitConfig as BitConfig,
        ConvNextBackbone as ConvNextBackbone,
        ConvNextConfig as ConvNextConfig,
        ConvNextV2Backbone as ConvNextV2Backbone,
        ConvNextV2Config as ConvNextV2Config,
        DeformableDetrConfig as DeformableDetrConfig,
        DeformableDetrForObjectDetection as DeformableDetrForObjectDetection,
        DepthAnythingConfig as DepthAnythingConfig,
        DepthAnythingForDepthEstimation as DepthAnythingForDepthEstimation,
        DetrConfig as DetrConfig,
        DetrForObjectDetection as DetrForObjectDetection,
        DFineConfig as DFineConfig,
        DFineForObjectDetection as DFineForObjectDetection,
        Dinov2Backbone as Dinov2Backbone,
        Dinov2Config as Dinov2Config,
        Dinov2WithRegistersBackbone as Dinov2WithRegistersBackbone,
        Dinov2WithRegistersConfig as Dinov2WithRegistersConfig,
        DINOv3ConvNextBackbone as DINOv3ConvNextBackbone,
        DINOv3ConvNextConfig as DINOv3ConvNextConfig,
        DINOv3ViTBackbone as DINOv3ViTBackbone,
        DINOv3ViTConfig as DINOv3ViTConfig,
        DPTConfig as DPTConfig,
        DPTForDepthEstimation as DPTForDepthEstimation,
        FocalNetBackbone as FocalNetBackbone,
        FocalNetConfig as FocalNetConfig,
        HGNetV2Backbone as HGNetV2Backbone,
        HGNetV2Config as HGNetV2Config,
        HieraBackbone as HieraBackbone,
        HieraConfig as HieraConfig,
        Mask2FormerConfig as Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation as Mask2FormerForUniversalSegmentation,
        MaskFormerConfig as MaskFormerConfig,
        MaskFormerForInstanceSegmentation as MaskFormerForInstanceSegmentation,
        MaskFormerForInstanceSegmentationOutput as MaskFormerForInstanceSegmentationOutput,
        MaskFormerSwinBackbone as MaskFormerSwinBackbone,
        MaskFormerSwinConfig as MaskFormerSwinConfig,
        PvtV2Backbone as PvtV2Backbone,
        PvtV2Config as PvtV2Config,
        ResNetBackbone as ResNetBackbone,
        ResNetConfig as ResNetConfig,
        RTDetrConfig as RTDetrConfig,
        RTDetrForObjectDetection as RTDetrForObjectDetection,
        RTDetrResNetBackbone as RTDetrResNetBackbone,
        RTDetrResNetConfig as RTDetrResNetConfig,
        RTDetrV2Config as RTDetrV2Config,
        RTDetrV2ForObjectDetection as RTDetrV2ForObjectDetection,
        SwinBackbone as SwinBackbone,
        SwinConfig as SwinConfig,
        Swinv2Backbone as Swinv2Backbone,
        Swinv2Config as Swinv2Config,
        TimmBackbone as TimmBackbone,
        TimmBackboneConfig as TimmBackboneConfig,
        UperNetConfig as UperNetConfig,
        UperNetForSemanticSegmentation as UperNetForSemanticSegmentation,
        VitDetBackbone as VitDetBackbone,
        VitDetConfig as VitDetConfig,
        VitPoseBackbone as VitPoseBackbone,
        VitPoseBackboneConfig as VitPoseBackboneConfig,
        VitPoseConfig as VitPoseConfig,
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
    from backbonekit.visualization.features import (
        draw_features as draw_features,
    )
    from backbonekit.weights.adapters import (
        merge_adapter as merge_adapter,
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
    "draw_features": "backbonekit.visualization.features",
    "export_model": "backbonekit.export.export",
    "load_onnx": "backbonekit.export.onnx_model",
    # training
    "architecture_budget": "backbonekit.weights.budget",
    "freeze": "backbonekit.training.freeze",
    "merge_adapter": "backbonekit.weights.adapters",
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
    "draw_features",
    "export_model",
    "freeze",
    "gradient_checkpointing",
    "load_model",
    "load_onnx",
    "merge_adapter",
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
