"""The names of the Hugging Face guide for HGNetV2."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.hgnet_v2 import HGNetV2Architecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class HGNetV2Config(BackboneConfigMixin, HGNetV2Architecture):
    """The fields of `HGNetV2Architecture`, and `out_features` or `out_indices`."""


class HGNetV2Backbone(StagedFace):
    """Built from a `HGNetV2Config`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = HGNetV2Config
