# Written by `python -m backbonekit.hf_models.write_stubs`; a test tells if that was forgotten.
# ruff: noqa

from backbonekit.hf_models.auto_backbone import AutoBackbone as AutoBackbone
from backbonekit.hf_models.auto_image_processor import AutoImageProcessor as AutoImageProcessor
from backbonekit.hf_models.backbone_mixin import BackboneMixin as BackboneMixin
from backbonekit.hf_models.backbone_output import BackboneOutput as BackboneOutput
from backbonekit.hf_models.config_mixin import BackboneConfigMixin as BackboneConfigMixin
from backbonekit.hf_models.faces import BeitBackbone as BeitBackbone
from backbonekit.hf_models.faces import BeitConfig as BeitConfig
from backbonekit.hf_models.faces import BitBackbone as BitBackbone
from backbonekit.hf_models.faces import BitConfig as BitConfig
from backbonekit.hf_models.faces import ConvNextBackbone as ConvNextBackbone
from backbonekit.hf_models.faces import ConvNextConfig as ConvNextConfig
from backbonekit.hf_models.faces import ConvNextV2Backbone as ConvNextV2Backbone
from backbonekit.hf_models.faces import ConvNextV2Config as ConvNextV2Config
from backbonekit.hf_models.faces import DINOv3ConvNextBackbone as DINOv3ConvNextBackbone
from backbonekit.hf_models.faces import DINOv3ConvNextConfig as DINOv3ConvNextConfig
from backbonekit.hf_models.faces import DINOv3ViTBackbone as DINOv3ViTBackbone
from backbonekit.hf_models.faces import DINOv3ViTConfig as DINOv3ViTConfig
from backbonekit.hf_models.faces import Dinov2Backbone as Dinov2Backbone
from backbonekit.hf_models.faces import Dinov2Config as Dinov2Config
from backbonekit.hf_models.faces import Dinov2WithRegistersBackbone as Dinov2WithRegistersBackbone
from backbonekit.hf_models.faces import Dinov2WithRegistersConfig as Dinov2WithRegistersConfig
from backbonekit.hf_models.faces import FocalNetBackbone as FocalNetBackbone
from backbonekit.hf_models.faces import FocalNetConfig as FocalNetConfig
from backbonekit.hf_models.faces import HGNetV2Backbone as HGNetV2Backbone
from backbonekit.hf_models.faces import HGNetV2Config as HGNetV2Config
from backbonekit.hf_models.faces import HieraBackbone as HieraBackbone
from backbonekit.hf_models.faces import HieraConfig as HieraConfig
from backbonekit.hf_models.faces import MaskFormerSwinBackbone as MaskFormerSwinBackbone
from backbonekit.hf_models.faces import MaskFormerSwinConfig as MaskFormerSwinConfig
from backbonekit.hf_models.faces import PvtV2Backbone as PvtV2Backbone
from backbonekit.hf_models.faces import PvtV2Config as PvtV2Config
from backbonekit.hf_models.faces import RTDetrResNetBackbone as RTDetrResNetBackbone
from backbonekit.hf_models.faces import RTDetrResNetConfig as RTDetrResNetConfig
from backbonekit.hf_models.faces import ResNetBackbone as ResNetBackbone
from backbonekit.hf_models.faces import ResNetConfig as ResNetConfig
from backbonekit.hf_models.faces import SwinBackbone as SwinBackbone
from backbonekit.hf_models.faces import SwinConfig as SwinConfig
from backbonekit.hf_models.faces import Swinv2Backbone as Swinv2Backbone
from backbonekit.hf_models.faces import Swinv2Config as Swinv2Config
from backbonekit.hf_models.faces import VitDetBackbone as VitDetBackbone
from backbonekit.hf_models.faces import VitDetConfig as VitDetConfig
from backbonekit.hf_models.faces import VitPoseBackbone as VitPoseBackbone
from backbonekit.hf_models.faces import VitPoseBackboneConfig as VitPoseBackboneConfig
from backbonekit.hf_models.maskformer import MaskFormerForInstanceSegmentation as MaskFormerForInstanceSegmentation
from backbonekit.hf_models.maskformer import MaskFormerForInstanceSegmentationOutput as MaskFormerForInstanceSegmentationOutput
from backbonekit.hf_models.maskformer_config import MaskFormerConfig as MaskFormerConfig
from backbonekit.hf_models.timm_backbone import TimmBackbone as TimmBackbone
from backbonekit.hf_models.timm_config import TimmBackboneConfig as TimmBackboneConfig

_PUBLIC: dict[str, str]
