"""The names of the Hugging Face guide for ViTPose."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.vitpose_backbone import VitPoseBackboneArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class VitPoseBackboneConfig(BackboneConfigMixin, VitPoseBackboneArchitecture):
    """The fields of `VitPoseBackboneArchitecture`, and `out_features` or `out_indices`."""


class VitPoseBackbone(StagedFace):
    """Built from a `VitPoseBackboneConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = VitPoseBackboneConfig
