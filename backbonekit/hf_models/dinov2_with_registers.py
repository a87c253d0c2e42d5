"""The names of the Hugging Face guide for DINOv2 with registers."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.dinov2_with_registers import Dinov2WithRegistersArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class Dinov2WithRegistersConfig(BackboneConfigMixin, Dinov2WithRegistersArchitecture):
    """The fields of `Dinov2WithRegistersArchitecture`, and `out_features` or `out_indices`."""


class Dinov2WithRegistersBackbone(StagedFace):
    """Built from a `Dinov2WithRegistersConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = Dinov2WithRegistersConfig
