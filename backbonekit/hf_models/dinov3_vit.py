"""The names of the Hugging Face guide for DINOv3's ViT."""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.dinov3_vit import DINOv3ViTArchitecture
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.staged_face import StagedFace


@dataclass(kw_only=True)
class DINOv3ViTConfig(BackboneConfigMixin, DINOv3ViTArchitecture):
    """The fields of `DINOv3ViTArchitecture`, and `out_features` or `out_indices`."""


class DINOv3ViTBackbone(StagedFace):
    """Built from a `DINOv3ViTConfig`, or from weights with `from_pretrained`."""

    config_class: ClassVar[type[BackboneConfigMixin]] = DINOv3ViTConfig
