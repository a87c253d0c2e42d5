"""The names of the Hugging Face guide for Swin."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.swin import SwinArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class SwinConfig(BackboneConfigMixin, SwinArchitecture):
    """The fields of `SwinArchitecture`, and `out_features` or `out_indices`."""


class SwinBackbone(StagedFace):
    """Built from a `SwinConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = SwinConfig
