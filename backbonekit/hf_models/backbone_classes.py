"""The backbone class of each family, with the names of transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.blueprint import HFBlueprint
from backbonekit.backbones.hf.class_names import backbone_name
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.backbones.nested_checkpoint import backbone_config_of
from backbonekit.hf_models import backbone_configs as configs
from backbonekit.hf_models.attention_weights import caught_weights
from backbonekit.hf_models.backbone_mixin import BackboneMixin, BackboneOutput, build_backbone
from backbonekit.hf_models.config_file import FILE, is_weight_file
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.weights.repository import open_repository
from backbonekit.weights.write_folder import replacing
from backbonekit.weights.write_tensors import save_tensors

Backbone = TypeVar("Backbone", bound="FamilyBackbone")


class FamilyBackbone(BackboneMixin):
    """A backbone of one family. Constructed from a configuration it has random weights from a seed."""

    config_class: ClassVar[type[BackboneConfigMixin]]
    backbone: StagedBackbone

    def __init__(
        self, config: BackboneConfigMixin, *, seed: int = 0, backbone_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        blueprint = _blueprint(config, None, backbone_kwargs)
        backbone, report = build_backbone(blueprint, config.selected, seed=seed)
        super().__init__(backbone, config, report)

    @classmethod
    def from_pretrained(
        cls: type[Backbone],
        name_or_folder: str | Path,
        *,
        config: BackboneConfigMixin | None = None,
        revision: str | None = None,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Backbone:
        """Weights and configuration of a Hub repository, the local cache or a folder.

        `changes`: `out_indices` or `out_features`, and fields of the configuration that its weights leave open.
        """
        if config is None:
            repository = open_repository(name_or_folder, revision=revision)
            fields = backbone_config_of(repository.json(FILE), model_types(), repository.origin)
            config = cls.config_class.from_dict(fields, **changes)
            revision = repository.commit  # weights and configuration of one commit
        blueprint = _blueprint(config, str(name_or_folder), backbone_kwargs)
        backbone, report = build_backbone(blueprint, config.selected, pretrained=True, revision=revision)
        made = cls.__new__(cls)
        BackboneMixin.__init__(made, backbone, config, report)
        return made

    def _run(self, pixel_values: Tensor, states: bool, attentions: bool) -> BackboneOutput:
        backbone = self.backbone
        if not (states or attentions):
            return BackboneOutput(feature_maps=backbone(pixel_values).maps)
        found = backbone.family
        weighed = found.attentions(backbone.body) if attentions and found.attentions is not None else []
        recomputes = backbone.gradient_checkpointing
        # A block that is computed again in backward would be so without anybody who catches its weights.
        backbone.gradient_checkpointing = recomputes and not weighed
        try:
            with caught_weights(weighed) as caught:
                outputs, grid = backbone.stage_outputs(pixel_values, range(backbone.built))
        finally:
            backbone.gradient_checkpointing = recomputes
        hidden_states = tuple(found.hidden_state(backbone.body, x, index) for index, x in outputs.items())
        weights = tuple(found.attention_weights(one, each) for one, each in zip(weighed, caught, strict=True))
        return BackboneOutput(
            feature_maps=backbone.maps_of(outputs, grid).maps,
            hidden_states=hidden_states if states else None,
            attentions=weights if attentions and found.attentions is not None else None,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` as transformers names them."""
        self.check_as_built()
        key_map = family(self.config.model_type).key_map(self.config)
        tensors = key_map.reverse(self.backbone.state_dict())
        # A joined matrix is written as its parts, which must not share memory.
        with replacing(Path(folder), stale=is_weight_file, last=FILE) as temporary:
            self.config.save_pretrained(temporary)
            save_tensors(temporary, {name: tensor.detach().clone() for name, tensor in tensors.items()})


class BeitBackbone(FamilyBackbone):
    """Built from a `BeitConfig`, or from weights with `from_pretrained`."""

    config_class = configs.BeitConfig


class BitBackbone(FamilyBackbone):
    """Built from a `BitConfig`, or from weights with `from_pretrained`."""

    config_class = configs.BitConfig


class ConvNextBackbone(FamilyBackbone):
    """Built from a `ConvNextConfig`, or from weights with `from_pretrained`."""

    config_class = configs.ConvNextConfig


class ConvNextV2Backbone(FamilyBackbone):
    """Built from a `ConvNextV2Config`, or from weights with `from_pretrained`."""

    config_class = configs.ConvNextV2Config


class Dinov2Backbone(FamilyBackbone):
    """Built from a `Dinov2Config`, or from weights with `from_pretrained`."""

    config_class = configs.Dinov2Config


class Dinov2WithRegistersBackbone(FamilyBackbone):
    """Built from a `Dinov2WithRegistersConfig`, or from weights with `from_pretrained`."""

    config_class = configs.Dinov2WithRegistersConfig


class DINOv3ConvNextBackbone(FamilyBackbone):
    """Built from a `DINOv3ConvNextConfig`, or from weights with `from_pretrained`."""

    config_class = configs.DINOv3ConvNextConfig


class DINOv3ViTBackbone(FamilyBackbone):
    """Built from a `DINOv3ViTConfig`, or from weights with `from_pretrained`."""

    config_class = configs.DINOv3ViTConfig


class FocalNetBackbone(FamilyBackbone):
    """Built from a `FocalNetConfig`, or from weights with `from_pretrained`."""

    config_class = configs.FocalNetConfig


class HGNetV2Backbone(FamilyBackbone):
    """Built from a `HGNetV2Config`, or from weights with `from_pretrained`."""

    config_class = configs.HGNetV2Config


class HieraBackbone(FamilyBackbone):
    """Built from a `HieraConfig`, or from weights with `from_pretrained`."""

    config_class = configs.HieraConfig


class MaskFormerSwinBackbone(FamilyBackbone):
    """Built from a `MaskFormerSwinConfig`, or from weights with `from_pretrained`."""

    config_class = configs.MaskFormerSwinConfig


class PvtV2Backbone(FamilyBackbone):
    """Built from a `PvtV2Config`, or from weights with `from_pretrained`."""

    config_class = configs.PvtV2Config


class ResNetBackbone(FamilyBackbone):
    """Built from a `ResNetConfig`, or from weights with `from_pretrained`."""

    config_class = configs.ResNetConfig


class RTDetrResNetBackbone(FamilyBackbone):
    """Built from a `RTDetrResNetConfig`, or from weights with `from_pretrained`."""

    config_class = configs.RTDetrResNetConfig


class SwinBackbone(FamilyBackbone):
    """Built from a `SwinConfig`, or from weights with `from_pretrained`."""

    config_class = configs.SwinConfig


class Swinv2Backbone(FamilyBackbone):
    """Built from a `Swinv2Config`, or from weights with `from_pretrained`."""

    config_class = configs.Swinv2Config


class VitDetBackbone(FamilyBackbone):
    """Built from a `VitDetConfig`, or from weights with `from_pretrained`."""

    config_class = configs.VitDetConfig


class VitPoseBackbone(FamilyBackbone):
    """Built from a `VitPoseBackboneConfig`, or from weights with `from_pretrained`."""

    config_class = configs.VitPoseBackboneConfig


def backbone_class(model_type: str) -> type[FamilyBackbone]:
    """The backbone class of a model type. Raises RecipeError with the nearest one."""
    family(model_type)
    return globals()[backbone_name(model_type)]


def _blueprint(config: BackboneConfigMixin, name: str | None, backbone_kwargs: Mapping[str, Any] | None) -> HFBlueprint:
    found = family(config.model_type)
    return HFBlueprint(
        name,
        found,
        found.config_class.from_mapping(config.to_mapping()),
        config.num_channels,  # type: ignore[attr-defined]
        dict(backbone_kwargs or {}),
        None,
    )
