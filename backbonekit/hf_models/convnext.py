"""The names of the Hugging Face guide for ConvNext."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.convnext import ConvNextArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class ConvNextConfig(BackboneConfigMixin, ConvNextArchitecture):
    """The fields of `ConvNextArchitecture`, and `out_features` or `out_indices`."""


class ConvNextBackbone(StagedFace):
    """Built from a `ConvNextConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = ConvNextConfig
