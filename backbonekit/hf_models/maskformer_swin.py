"""The names of the Hugging Face guide for MaskFormerSwin."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.maskformer_swin import MaskFormerSwinArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class MaskFormerSwinConfig(BackboneConfigMixin, MaskFormerSwinArchitecture):
    """The fields of `MaskFormerSwinArchitecture`, and `out_features` or `out_indices`."""


class MaskFormerSwinBackbone(StagedFace):
    """Built from a `MaskFormerSwinConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = MaskFormerSwinConfig
