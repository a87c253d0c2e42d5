"""`AutoBackbone`: a backbone by name or configuration, whatever its family."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbonekit.backbones.hf.model_types import model_types
from backbonekit.backbones.nested_checkpoint import backbone_config_of
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models.backbone_classes import backbone_class
from backbonekit.hf_models.backbone_configs import config_class
from backbonekit.hf_models.backbone_mixin import BackboneMixin
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.timm_backbone import TimmBackbone
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.weights.repository import open_repository


def config_of(fields: Mapping[str, Any], **changes: Any) -> BackboneConfigMixin:
    """The configuration object of a `config.json`'s content, such as a `backbone_config` inside another one."""
    model_type = fields.get("model_type")
    if not isinstance(model_type, str):
        raise RecipeError("The configuration has no model_type.")
    return config_class(model_type).from_dict(fields, **changes)


def _is_of_timm(fields: Mapping[str, Any]) -> bool:
    """A `config.json` in timm's own format."""
    return "architecture" in fields and "model_type" not in fields


class AutoBackbone:
    """Not constructed itself: see `from_pretrained` and `from_config`."""

    def __init__(self) -> None:
        raise ContractError("AutoBackbone is built with AutoBackbone.from_pretrained(name) or .from_config(config).")

    @staticmethod
    def from_pretrained(
        name_or_folder: str | Path,
        *,
        out_indices: int | Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        revision: str | None = None,
        use_timm_backbone: bool = False,
        use_pretrained_backbone: bool = True,
        num_channels: int | None = None,
        backbone_kwargs: Mapping[str, Any] | None = None,
    ) -> BackboneMixin:
        """A backbone with the weights of a Hub repository, the local cache or a folder, in eval mode. Of a whole model
        that holds one it is the backbone alone, with the maps that the model takes from it.

        `out_indices` or `out_features`: which maps; the last stage when unset. `use_timm_backbone`: the name is timm's
        (`resnet50`, `timm/resnet50.a1_in1k`), and so is the numbering of maps. `num_channels`: of the images; a
        pretrained stem is adapted. `backbone_kwargs`: `norm` and training rates of a transformers checkpoint, arguments
        of the constructor of a timm architecture. Raises RecipeError, ContractError, WeightsError, StorageError.
        """
        name = str(name_or_folder)
        if use_timm_backbone or name.startswith(("timm/", "hf-hub:timm/")):
            return TimmBackbone.from_pretrained(
                name,
                out_indices=out_indices,
                out_features=out_features,
                revision=revision,
                num_channels=num_channels,
                use_pretrained_backbone=use_pretrained_backbone,
                backbone_kwargs=backbone_kwargs,
            )
        repository = open_repository(name_or_folder, revision=revision)
        fields = repository.json(FILE)
        if fields.get("model_type") == TimmBackboneConfig.model_type or _is_of_timm(fields):
            return TimmBackbone.from_pretrained(
                name,
                out_indices=out_indices,
                out_features=out_features,
                revision=repository.commit,
                num_channels=num_channels,
                use_pretrained_backbone=use_pretrained_backbone,
                backbone_kwargs=backbone_kwargs,
            )
        fields = backbone_config_of(fields, model_types(), repository.origin)
        selection = {"out_indices": out_indices, "out_features": out_features}
        config = config_of(fields, **{key: value for key, value in selection.items() if value is not None})
        if num_channels is not None:
            config.num_channels = num_channels  # type: ignore[attr-defined]
        found = backbone_class(config.model_type)
        if not use_pretrained_backbone:
            return found(config, backbone_kwargs=backbone_kwargs)
        return found.from_pretrained(
            name_or_folder, config=config, revision=repository.commit, backbone_kwargs=backbone_kwargs
        )

    @staticmethod
    def from_config(
        config: BackboneConfigMixin | TimmBackboneConfig | Mapping[str, Any],
        *,
        out_indices: int | Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        seed: int = 0,
        backbone_kwargs: Mapping[str, Any] | None = None,
    ) -> BackboneMixin:
        """A backbone with random weights from `seed`, in eval mode. `config` is left as it was.

        A `TimmBackboneConfig` with `use_pretrained_backbone` loads pretrained weights.
        """
        if isinstance(config, Mapping) and config.get("model_type") == TimmBackboneConfig.model_type:
            config = TimmBackboneConfig.from_dict(config)
        if isinstance(config, TimmBackboneConfig):
            changed = replace(config, backbone_kwargs={**config.backbone_kwargs, **(backbone_kwargs or {})})
            if out_indices is not None or out_features is not None:
                changed = replace(changed, out_indices=out_indices, out_features=out_features)
            return TimmBackbone(changed, seed=seed)
        fields = config if isinstance(config, Mapping) else config.to_dict()
        selection = {"out_indices": out_indices, "out_features": out_features}
        own = config_of(fields, **{key: value for key, value in selection.items() if value is not None})
        return backbone_class(own.model_type)(own, seed=seed, backbone_kwargs=backbone_kwargs)
