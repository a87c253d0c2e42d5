# Written by `python -m backbonekit.hf_models.write_stubs`; a test tells if that was forgotten.
# ruff: noqa

from dataclasses import dataclass
from typing import ClassVar

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
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_backbone import FamilyBackbone

def config_class(model_type: str) -> type[BackboneConfigMixin]: ...
def backbone_class(model_type: str) -> type[FamilyBackbone]: ...

@dataclass(kw_only=True)
class BeitConfig(BackboneConfigMixin, BeitArchitecture): ...

class BeitBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = BeitConfig

@dataclass(kw_only=True)
class BitConfig(BackboneConfigMixin, BitArchitecture): ...

class BitBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = BitConfig

@dataclass(kw_only=True)
class ConvNextConfig(BackboneConfigMixin, ConvNextArchitecture): ...

class ConvNextBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = ConvNextConfig

@dataclass(kw_only=True)
class ConvNextV2Config(BackboneConfigMixin, ConvNextV2Architecture): ...

class ConvNextV2Backbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = ConvNextV2Config

@dataclass(kw_only=True)
class Dinov2Config(BackboneConfigMixin, Dinov2Architecture): ...

class Dinov2Backbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = Dinov2Config

@dataclass(kw_only=True)
class Dinov2WithRegistersConfig(BackboneConfigMixin, Dinov2WithRegistersArchitecture): ...

class Dinov2WithRegistersBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = Dinov2WithRegistersConfig

@dataclass(kw_only=True)
class DINOv3ConvNextConfig(BackboneConfigMixin, DINOv3ConvNextArchitecture): ...

class DINOv3ConvNextBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = DINOv3ConvNextConfig

@dataclass(kw_only=True)
class DINOv3ViTConfig(BackboneConfigMixin, DINOv3ViTArchitecture): ...

class DINOv3ViTBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = DINOv3ViTConfig

@dataclass(kw_only=True)
class FocalNetConfig(BackboneConfigMixin, FocalNetArchitecture): ...

class FocalNetBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = FocalNetConfig

@dataclass(kw_only=True)
class HGNetV2Config(BackboneConfigMixin, HGNetV2Architecture): ...

class HGNetV2Backbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = HGNetV2Config

@dataclass(kw_only=True)
class HieraConfig(BackboneConfigMixin, HieraArchitecture): ...

class HieraBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = HieraConfig

@dataclass(kw_only=True)
class MaskFormerSwinConfig(BackboneConfigMixin, MaskFormerSwinArchitecture): ...

class MaskFormerSwinBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = MaskFormerSwinConfig

@dataclass(kw_only=True)
class PvtV2Config(BackboneConfigMixin, PvtV2Architecture): ...

class PvtV2Backbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = PvtV2Config

@dataclass(kw_only=True)
class ResNetConfig(BackboneConfigMixin, ResNetArchitecture): ...

class ResNetBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = ResNetConfig

@dataclass(kw_only=True)
class RTDetrResNetConfig(BackboneConfigMixin, RTDetrResNetArchitecture): ...

class RTDetrResNetBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = RTDetrResNetConfig

@dataclass(kw_only=True)
class SwinConfig(BackboneConfigMixin, SwinArchitecture): ...

class SwinBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = SwinConfig

@dataclass(kw_only=True)
class Swinv2Config(BackboneConfigMixin, Swinv2Architecture): ...

class Swinv2Backbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = Swinv2Config

@dataclass(kw_only=True)
class VitDetConfig(BackboneConfigMixin, VitDetArchitecture): ...

class VitDetBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = VitDetConfig

@dataclass(kw_only=True)
class VitPoseBackboneConfig(BackboneConfigMixin, VitPoseBackboneArchitecture): ...

class VitPoseBackbone(FamilyBackbone):
    config_class: ClassVar[type[BackboneConfigMixin]] = VitPoseBackboneConfig
