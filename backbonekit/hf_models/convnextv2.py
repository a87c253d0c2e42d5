"""The names of the Hugging Face guide for ConvNextV2."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.convnextv2 import ConvNextV2Architecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class ConvNextV2Config(BackboneConfigMixin, ConvNextV2Architecture):
    """The fields of `ConvNextV2Architecture`, and `out_features` or `out_indices`."""


class ConvNextV2Backbone(StagedFace):
    """Built from a `ConvNextV2Config`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = ConvNextV2Config
