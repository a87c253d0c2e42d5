"""The names of the Hugging Face guide for Dinov2."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.dinov2 import Dinov2Architecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class Dinov2Config(BackboneConfigMixin, Dinov2Architecture):
    """The fields of `Dinov2Architecture`, and `out_features` or `out_indices`."""


class Dinov2Backbone(StagedFace):
    """Built from a `Dinov2Config`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = Dinov2Config
