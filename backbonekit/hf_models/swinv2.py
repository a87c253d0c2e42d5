"""The names of the Hugging Face guide for Swin V2."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.swinv2 import Swinv2Architecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class Swinv2Config(BackboneConfigMixin, Swinv2Architecture):
    """The fields of `Swinv2Architecture`, and `out_features` or `out_indices`."""


class Swinv2Backbone(StagedFace):
    """Built from a `Swinv2Config`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = Swinv2Config
