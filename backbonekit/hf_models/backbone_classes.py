"""The backbone class of each family, with the names of transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from backbonekit.assembly.placement import DType, placed
from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.blueprint import HFBlueprint
from backbonekit.backbones.hf.class_names import backbone_name
from backbonekit.backbones.hf.expert_block import experts_of
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.backbones.nested_checkpoint import backbone_config_of
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.hf_models import backbone_configs as configs
from backbonekit.hf_models.backbone_mixin import BackboneMixin, BackboneOutput, BackboneType, build_backbone
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.hub_files import files_of, located
from backbonekit.hf_models.loaded_weights import fill_from, loading_info
from backbonekit.hf_models.loading_options import DeviceMap, one_device, one_dtype, refuse_unsupported
from backbonekit.weights.repository import Repository

Backbone = TypeVar("Backbone", bound="FamilyBackbone")


class FamilyBackbone(BackboneMixin):
    """A backbone of one family. Constructed from a configuration it has random weights from a seed."""

    config_class: ClassVar[type[BackboneConfigMixin]]
    backbone: StagedBackbone

    backbone_type = BackboneType.TRANSFORMERS

    def __init__(
        self, config: BackboneConfigMixin, *, seed: int = 0, backbone_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        backbone, report = build_backbone(_blueprint(config, None, backbone_kwargs), config.selected, seed=seed)
        super().__init__(backbone, config, report, seed=seed)
        self._kwargs = backbone_kwargs
        self._repository: Repository | None = None

    @classmethod
    def from_pretrained(
        cls: type[Backbone],
        pretrained_model_name_or_path: str | Path | None,
        *,
        config: BackboneConfigMixin | Mapping[str, Any] | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        subfolder: str = "",
        dtype: DType = None,
        torch_dtype: DType = None,
        device_map: DeviceMap = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Any:
        """Weights and configuration of a Hub repository, the local cache or a folder, in eval mode. With
        `output_loading_info` a pair: the backbone, and which of its weights were not read.

        `changes`: `out_indices` or `out_features`, `attn_implementation`, and fields of the configuration that its
        weights leave open. `config`: another configuration than the saved one. `state_dict`: the weights of such a
        backbone by the names of `state_dict()`, in place of a name, which is then None. For the options about files see
        `files_of`; for `dtype` and `device_map` `one_dtype` and `one_device`. Weights of another shape are refused,
        always. Raises ContractError, RecipeError, WeightsError, StorageError.
        """
        refuse_unsupported(changes)
        if ignore_mismatched_sizes:
            raise ContractError(
                "ignore_mismatched_sizes=True: every weight of a backbone must fit. The fix: leave it out."
            )
        if pretrained_model_name_or_path is None:
            made = cls._from_state_dict(config, state_dict, backbone_kwargs, changes)
            found = one_dtype(dtype, torch_dtype, made.config.dtype)
            made = placed(made, one_device(device_map), found)
            return (made, loading_info([], [])) if output_loading_info else made
        if state_dict is not None:
            raise ContractError("state_dict together with a name: two sources of weights; give one of the two.")
        with files_of(
            pretrained_model_name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            subfolder=subfolder,
        ) as repository:
            config = cls._read_config(config, repository, changes)
            blueprint = _blueprint(config, str(located(pretrained_model_name_or_path, subfolder)), backbone_kwargs)
            # weights and configuration of one commit
            revision = repository.commit or revision
            backbone, report = build_backbone(blueprint, config.selected, pretrained=True, revision=revision)
        assert report is not None
        made = cls.__new__(cls)
        BackboneMixin.__init__(made, backbone, config, report)
        made._kwargs = backbone_kwargs
        made._repository = blueprint.repository
        made = placed(made, one_device(device_map), one_dtype(dtype, torch_dtype, config.dtype, report.stored_dtype))
        return (made, loading_info(report.missing, report.surplus)) if output_loading_info else made

    @classmethod
    def _read_config(
        cls,
        given: BackboneConfigMixin | Mapping[str, Any] | None,
        repository: Repository,
        changes: Mapping[str, Any],
    ) -> BackboneConfigMixin:
        if isinstance(given, BackboneConfigMixin) and not changes:
            return given
        if given is None:
            given = backbone_config_of(repository.json(FILE), model_types(), repository.origin)
        fields = given.to_dict() if isinstance(given, BackboneConfigMixin) else given
        return cls.config_class.from_dict(fields, **changes)

    @classmethod
    def _from_state_dict(
        cls: type[Backbone],
        config: BackboneConfigMixin | Mapping[str, Any] | None,
        state_dict: Mapping[str, Tensor] | None,
        backbone_kwargs: Mapping[str, Any] | None,
        changes: Mapping[str, Any],
    ) -> Backbone:
        if config is None or state_dict is None:
            raise ContractError(
                f"{cls.__name__}.from_pretrained needs the name of a folder or Hub repository, or else both config and"
                " state_dict."
            )
        fields = config.to_dict() if isinstance(config, BackboneConfigMixin) else config
        made = cls(cls.config_class.from_dict(fields, **changes), backbone_kwargs=backbone_kwargs)
        fill_from(made, state_dict)
        return made

    @property
    def processing(self) -> Processing:
        blueprint = _blueprint(self.config, None, self._kwargs)
        blueprint.repository = self._repository
        return blueprint.processing

    def _made_anew(self) -> "FamilyBackbone":
        return type(self)(self.config, seed=self._seed, backbone_kwargs=self._kwargs)

    def _written(self, state_dict: dict[str, Tensor]) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
        self.check_as_built()
        key_map = family(self.config.model_type).key_map(self.config.architecture())
        inner = {name.removeprefix("backbone."): tensor for name, tensor in state_dict.items()}
        return {FILE: self._described(self.config)}, key_map.reverse(inner)


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

    def forward(  # type: ignore[override]  # in transformers' order, which differs from that of other backbones
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        dataset_index: Int[Tensor, " batch"] | None = None,
        *,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BackboneOutput | tuple[Any, ...]:
        """As of other backbones. `dataset_index`: of a ViTPose++ the data set whose experts see each image, which is
        required; others take none."""
        with experts_of(self.backbone, dataset_index, len(pixel_values)):
            return super().forward(pixel_values, output_hidden_states, output_attentions, return_dict)


def backbone_class(model_type: str) -> type[FamilyBackbone]:
    """The backbone class of a model type. Raises RecipeError with the nearest one."""
    family(model_type)
    return globals()[backbone_name(model_type)]


def _blueprint(config: BackboneConfigMixin, name: str | None, backbone_kwargs: Mapping[str, Any] | None) -> HFBlueprint:
    found = family(config.model_type)
    return HFBlueprint(
        name,
        found,
        config.architecture(),
        config.num_channels,  # type: ignore[attr-defined]
        dict(backbone_kwargs or {}),
        None,
    )
