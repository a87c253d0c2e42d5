"""The names of the Hugging Face guide for DINOv3ConvNext."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.dinov3_convnext import DINOv3ConvNextArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class DINOv3ConvNextConfig(BackboneConfigMixin, DINOv3ConvNextArchitecture):
    """The fields of `DINOv3ConvNextArchitecture`, and `out_features` or `out_indices`."""


class DINOv3ConvNextBackbone(StagedFace):
    """Built from a `DINOv3ConvNextConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = DINOv3ConvNextConfig
