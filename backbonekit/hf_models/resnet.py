"""The names of the Hugging Face guide for ResNet."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.resnet import ResNetArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class ResNetConfig(BackboneConfigMixin, ResNetArchitecture):
    """The fields of `ResNetArchitecture`, and `out_features` or `out_indices`."""


class ResNetBackbone(StagedFace):
    """Built from a `ResNetConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = ResNetConfig
