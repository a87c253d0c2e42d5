"""The names of the Hugging Face guide for RTDetrResNet."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.rt_detr_resnet import RTDetrResNetArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class RTDetrResNetConfig(BackboneConfigMixin, RTDetrResNetArchitecture):
    """The fields of `RTDetrResNetArchitecture`, and `out_features` or `out_indices`."""


class RTDetrResNetBackbone(StagedFace):
    """Built from a `RTDetrResNetConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = RTDetrResNetConfig
