"""The names of the Hugging Face guide for Bit."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.bit import BitArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class BitConfig(BackboneConfigMixin, BitArchitecture):
    """The fields of `BitArchitecture`, and `out_features` or `out_indices`."""


class BitBackbone(StagedFace):
    """Built from a `BitConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = BitConfig
