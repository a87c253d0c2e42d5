"""The class of each whole model, under transformers' name."""

from backbonekit.hf_models import model_configs as configs
from backbonekit.hf_models.model_kinds import DenseModel, DepthModel, DetrModel, MaskModel, PoseModel, RealTimeModel


class DFineForObjectDetection(RealTimeModel):
    """Finds objects: a set of boxes, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.DFineConfig


class DeformableDetrForObjectDetection(DetrModel):
    """Finds objects: a set of boxes, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.DeformableDetrConfig


class DepthAnythingForDepthEstimation(DepthModel):
    """Predicts a depth for every pixel. For what all models share see `WholeModel`."""

    config_class = configs.DepthAnythingConfig


class DetrForObjectDetection(DetrModel):
    """Finds objects: a set of boxes, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.DetrConfig


class DPTForDepthEstimation(DepthModel):
    """Predicts a depth for every pixel. For what all models share see `WholeModel`."""

    config_class = configs.DPTConfig


class Mask2FormerForUniversalSegmentation(MaskModel):
    """Segments images by a set of masks, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.Mask2FormerConfig


class MaskFormerForInstanceSegmentation(MaskModel):
    """Segments images by a set of masks, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.MaskFormerConfig


class RTDetrForObjectDetection(RealTimeModel):
    """Finds objects: a set of boxes, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.RTDetrConfig


class RTDetrV2ForObjectDetection(RealTimeModel):
    """Finds objects: a set of boxes, each with a class. For what all models share see `WholeModel`."""

    config_class = configs.RTDetrV2Config


class UperNetForSemanticSegmentation(DenseModel):
    """Predicts a class for every pixel. For what all models share see `WholeModel`."""

    config_class = configs.UperNetConfig


class VitPoseForPoseEstimation(PoseModel):
    """Finds the keypoints of the one person in an image. For what all models share see `WholeModel`."""

    config_class = configs.VitPoseConfig
