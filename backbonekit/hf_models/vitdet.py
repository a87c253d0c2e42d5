"""The names of the Hugging Face guide for ViTDet."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.vitdet import VitDetArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class VitDetConfig(BackboneConfigMixin, VitDetArchitecture):
    """The fields of `VitDetArchitecture`, and `out_features` or `out_indices`."""


class VitDetBackbone(StagedFace):
    """Built from a `VitDetConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = VitDetConfig
