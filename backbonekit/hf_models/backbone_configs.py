"""The configuration of each family's backbone: the fields of its architecture, and `out_features` or `out_indices`."""

from dataclasses import dataclass

from backbonekit.backbones.hf.class_names import config_name
from backbonekit.backbones.hf.families.beit import BeitArchitecture
from backbonekit.backbones.hf.families.bit import BitArchitecture
from backbonekit.backbones.hf.families.convnext import ConvNextArchitecture
from backbonekit.backbones.hf.families.convnextv2 import ConvNextV2Architecture
from backbonekit.backbones.hf.families.dinov2 import Dinov2Architecture
from backbonekit.backbones.hf.families.dinov2_with_registers import Dinov2WithRegistersArchitecture
from backbonekit.backbones.hf.families.dinov3_convnext import DINOv3ConvNextArchitecture
from backbonekit.backbones.hf.families.dinov3_vit import DINOv3ViTArchitecture
from backbonekit.backbones.hf.families.focalnet import FocalNetArchitecture
from backbonekit.backbones.hf.families.hgnet_v2 import HGNetV2Architecture
from backbonekit.backbones.hf.families.hiera import HieraArchitecture
from backbonekit.backbones.hf.families.maskformer_swin import MaskFormerSwinArchitecture
from backbonekit.backbones.hf.families.pvt_v2 import PvtV2Architecture
from backbonekit.backbones.hf.families.resnet import ResNetArchitecture
from backbonekit.backbones.hf.families.rt_detr_resnet import RTDetrResNetArchitecture
from backbonekit.backbones.hf.families.swin import SwinArchitecture
from backbonekit.backbones.hf.families.swinv2 import Swinv2Architecture
from backbonekit.backbones.hf.families.vitdet import VitDetArchitecture
from backbonekit.backbones.hf.families.vitpose_backbone import VitPoseBackboneArchitecture
from backbonekit.backbones.hf.model_types import family
from backbonekit.hf_models.config_mixin import BackboneConfigMixin, backbone_config


@backbone_config
@dataclass(kw_only=True, eq=False)
class BeitConfig(BackboneConfigMixin, BeitArchitecture):
    """For its fields see `BeitArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class BitConfig(BackboneConfigMixin, BitArchitecture):
    """For its fields see `BitArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class ConvNextConfig(BackboneConfigMixin, ConvNextArchitecture):
    """For its fields see `ConvNextArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class ConvNextV2Config(BackboneConfigMixin, ConvNextV2Architecture):
    """For its fields see `ConvNextV2Architecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class Dinov2Config(BackboneConfigMixin, Dinov2Architecture):
    """For its fields see `Dinov2Architecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class Dinov2WithRegistersConfig(BackboneConfigMixin, Dinov2WithRegistersArchitecture):
    """For its fields see `Dinov2WithRegistersArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class DINOv3ConvNextConfig(BackboneConfigMixin, DINOv3ConvNextArchitecture):
    """For its fields see `DINOv3ConvNextArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class DINOv3ViTConfig(BackboneConfigMixin, DINOv3ViTArchitecture):
    """For its fields see `DINOv3ViTArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class FocalNetConfig(BackboneConfigMixin, FocalNetArchitecture):
    """For its fields see `FocalNetArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class HGNetV2Config(BackboneConfigMixin, HGNetV2Architecture):
    """For its fields see `HGNetV2Architecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class HieraConfig(BackboneConfigMixin, HieraArchitecture):
    """For its fields see `HieraArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class MaskFormerSwinConfig(BackboneConfigMixin, MaskFormerSwinArchitecture):
    """For its fields see `MaskFormerSwinArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class PvtV2Config(BackboneConfigMixin, PvtV2Architecture):
    """For its fields see `PvtV2Architecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class ResNetConfig(BackboneConfigMixin, ResNetArchitecture):
    """For its fields see `ResNetArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class RTDetrResNetConfig(BackboneConfigMixin, RTDetrResNetArchitecture):
    """For its fields see `RTDetrResNetArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class SwinConfig(BackboneConfigMixin, SwinArchitecture):
    """For its fields see `SwinArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class Swinv2Config(BackboneConfigMixin, Swinv2Architecture):
    """For its fields see `Swinv2Architecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class VitDetConfig(BackboneConfigMixin, VitDetArchitecture):
    """For its fields see `VitDetArchitecture`."""


@backbone_config
@dataclass(kw_only=True, eq=False)
class VitPoseBackboneConfig(BackboneConfigMixin, VitPoseBackboneArchitecture):
    """For its fields see `VitPoseBackboneArchitecture`."""


def config_class(model_type: str) -> type[BackboneConfigMixin]:
    """The configuration class of a model type. Raises RecipeError with the nearest one."""
    family(model_type)
    return globals()[config_name(model_type)]
