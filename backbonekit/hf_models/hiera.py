"""The names of the Hugging Face guide for Hiera."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.hiera import HieraArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class HieraConfig(BackboneConfigMixin, HieraArchitecture):
    """The fields of `HieraArchitecture`, and `out_features` or `out_indices`."""


class HieraBackbone(StagedFace):
    """Built from a `HieraConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = HieraConfig
