"""The names of the Hugging Face guide for BEiT."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.beit import BeitArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class BeitConfig(BackboneConfigMixin, BeitArchitecture):
    """The fields of `BeitArchitecture`, and `out_features` or `out_indices`."""


class BeitBackbone(StagedFace):
    """Built from a `BeitConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = BeitConfig
