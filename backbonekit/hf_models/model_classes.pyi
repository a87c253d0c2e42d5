# Written by `python -m backbonekit.hf_models.write_stubs`; a test tells if that was forgotten.
# ruff: noqa

from typing import ClassVar

from backbonekit.hf_models.model_config import ModelConfig
from backbonekit.hf_models.model_kinds import BoxModel, DenseModel, DepthModel, MaskModel, PoseModel
from backbonekit.hf_models.whole_model import WholeModel

def model_config_class(model_type: str) -> type[ModelConfig]: ...
def model_class(model_type: str) -> type[WholeModel]: ...

class DFineConfig(ModelConfig): ...

class DFineForObjectDetection(BoxModel):
    config_class: ClassVar[type[ModelConfig]] = DFineConfig

class DeformableDetrConfig(ModelConfig): ...

class DeformableDetrForObjectDetection(BoxModel):
    config_class: ClassVar[type[ModelConfig]] = DeformableDetrConfig

class DepthAnythingConfig(ModelConfig): ...

class DepthAnythingForDepthEstimation(DepthModel):
    config_class: ClassVar[type[ModelConfig]] = DepthAnythingConfig

class DetrConfig(ModelConfig): ...

class DetrForObjectDetection(BoxModel):
    config_class: ClassVar[type[ModelConfig]] = DetrConfig

class DPTConfig(ModelConfig): ...

class DPTForDepthEstimation(DepthModel):
    config_class: ClassVar[type[ModelConfig]] = DPTConfig

class Mask2FormerConfig(ModelConfig): ...

class Mask2FormerForUniversalSegmentation(MaskModel):
    config_class: ClassVar[type[ModelConfig]] = Mask2FormerConfig

class RTDetrConfig(ModelConfig): ...

class RTDetrForObjectDetection(BoxModel):
    config_class: ClassVar[type[ModelConfig]] = RTDetrConfig

class RTDetrV2Config(ModelConfig): ...

class RTDetrV2ForObjectDetection(BoxModel):
    config_class: ClassVar[type[ModelConfig]] = RTDetrV2Config

class UperNetConfig(ModelConfig): ...

class UperNetForSemanticSegmentation(DenseModel):
    config_class: ClassVar[type[ModelConfig]] = UperNetConfig

class VitPoseConfig(ModelConfig): ...

class VitPoseForPoseEstimation(PoseModel):
    config_class: ClassVar[type[ModelConfig]] = VitPoseConfig
