"""The Hugging Face face of the backbones of the transformers dialect."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.blueprint import HFBlueprint
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.backbones.nested_checkpoint import backbone_config_of
from backbonekit.hf_models.attention_weights import caught_weights
from backbonekit.hf_models.backbone_build import build_backbone
from backbonekit.hf_models.backbone_mixin import BackboneMixin
from backbonekit.hf_models.backbone_output import BackboneOutput
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.weights.repository import open_repository
from backbonekit.weights.write_tensors import save_tensors

Face = TypeVar("Face", bound="FamilyBackbone")


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
        cls: type[Face],
        name_or_folder: str | Path,
        *,
        config: BackboneConfigMixin | None = None,
        revision: str | None = None,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Face:
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
        face = cls.__new__(cls)
        BackboneMixin.__init__(face, backbone, config, report)
        return face

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
        self.config.save_pretrained(folder)
        key_map = family(self.config.model_type).key_map(self.config)
        tensors = key_map.reverse(self.backbone.state_dict())
        # A joined matrix is written as its parts, which must not share memory.
        save_tensors(Path(folder).expanduser(), {name: tensor.detach().clone() for name, tensor in tensors.items()})


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
