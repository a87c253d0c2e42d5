"""The names of the Hugging Face guide for FocalNet."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.focalnet import FocalNetArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class FocalNetConfig(BackboneConfigMixin, FocalNetArchitecture):
    """The fields of `FocalNetArchitecture`, and `out_features` or `out_indices`."""


class FocalNetBackbone(StagedFace):
    """Built from a `FocalNetConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = FocalNetConfig
