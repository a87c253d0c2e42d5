"""The names of the Hugging Face guide for PVT v2."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.pvt_v2 import PvtV2Architecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class PvtV2Config(BackboneConfigMixin, PvtV2Architecture):
    """The fields of `PvtV2Architecture`, and `out_features` or `out_indices`."""


class PvtV2Backbone(StagedFace):
    """Built from a `PvtV2Config`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = PvtV2Config
