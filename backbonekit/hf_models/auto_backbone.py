"""`AutoBackbone`: a backbone by name or configuration, whatever its family."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbonekit.assembly.placement import DType, placed
from backbonekit.backbones.hf.model_types import model_types
from backbonekit.backbones.nested_checkpoint import backbone_config_of
from backbonekit.backbones.timm.names import is_timm_format
from backbonekit.errors import ContractError, RecipeError
from backbonekit.hf_models.backbone_classes import backbone_class
from backbonekit.hf_models.backbone_configs import config_class
from backbonekit.hf_models.backbone_mixin import BackboneMixin
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.hub_files import files_of
from backbonekit.hf_models.loaded_weights import loading_info
from backbonekit.hf_models.loading_options import DeviceMap, one_device, one_dtype, refuse_unsupported
from backbonekit.hf_models.timm_backbone import TimmBackbone
from backbonekit.hf_models.timm_config import TimmBackboneConfig


def config_of(fields: Mapping[str, Any], **changes: Any) -> Any:
    """The configuration object of a `config.json`'s content, such as a `backbone_config` inside another one."""
    model_type = fields.get("model_type")
    if not isinstance(model_type, str):
        raise RecipeError("The configuration has no model_type.")
    if model_type == TimmBackboneConfig.model_type:
        return TimmBackboneConfig.from_dict(fields, **changes)
    return config_class(model_type).from_dict(fields, **changes)


class AutoBackbone:
    """Not constructed itself: see `from_pretrained` and `from_config`."""

    def __init__(self) -> None:
        raise ContractError("AutoBackbone is built with AutoBackbone.from_pretrained(name) or .from_config(config).")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | Path,
        *,
        config: BackboneConfigMixin | TimmBackboneConfig | None = None,
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
        use_timm_backbone: bool = False,
        use_pretrained_backbone: bool = True,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Any:
        """A backbone with the weights of a Hub repository, the local cache or a folder, in eval mode. Of a whole model
        that holds one it is the backbone alone, with the maps that the model takes from it. With `output_loading_info`
        a pair: the backbone, and which of its weights were not read.

        `changes`: fields of the configuration that the weights leave open: `out_indices` or `out_features` (the last
        stage when unset); `num_channels` of the images, to which a pretrained stem is adapted; `attn_implementation`.
        `use_timm_backbone`: the name is timm's (`resnet50`, `timm/resnet50.a1_in1k`), and so is the numbering of maps.
        `use_pretrained_backbone`: False for random weights. `backbone_kwargs`: `norm` and training rates of a
        transformers checkpoint, arguments of the constructor of a timm architecture. For the options about files see
        `files_of`; for `dtype` and `device_map` `one_dtype` and `one_device`. Raises RecipeError, ContractError,
        WeightsError, StorageError.
        """
        refuse_unsupported(changes)
        name = str(pretrained_model_name_or_path)
        is_timm = (
            use_timm_backbone or name.startswith(("timm/", "hf-hub:timm/")) or isinstance(config, TimmBackboneConfig)
        )
        fields: Mapping[str, Any] = {}
        if not is_timm:
            with files_of(
                pretrained_model_name_or_path,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                subfolder=subfolder,
            ) as repository:
                fields = repository.json(FILE)
            revision = repository.commit or revision  # weights and configuration of one commit
            is_timm = fields.get("model_type") == TimmBackboneConfig.model_type or is_timm_format(fields)
        options: dict[str, Any] = {
            "revision": revision,
            "cache_dir": cache_dir,
            "token": token,
            "local_files_only": local_files_only,
            "subfolder": subfolder,
            "dtype": dtype,
            "torch_dtype": torch_dtype,
            "device_map": device_map,
            "output_loading_info": output_loading_info,
            "ignore_mismatched_sizes": ignore_mismatched_sizes,
            "backbone_kwargs": backbone_kwargs,
        }
        if is_timm:
            if isinstance(config, BackboneConfigMixin):
                raise ContractError(f"config is a {type(config).__name__}, but {name} is a backbone of timm.")
            return TimmBackbone.from_pretrained(
                pretrained_model_name_or_path,
                config=config,
                use_pretrained_backbone=use_pretrained_backbone,
                **options,
                **changes,
            )
        if config is None:
            config = config_of(backbone_config_of(fields, model_types(), repository.origin), **changes)
        elif changes:
            config = config_of(config.to_dict(), **changes)
        assert isinstance(config, BackboneConfigMixin)
        found = backbone_class(config.model_type)
        if use_pretrained_backbone:
            return found.from_pretrained(pretrained_model_name_or_path, config=config, **options)
        made = found(config, backbone_kwargs=backbone_kwargs)
        made = placed(made, one_device(device_map), one_dtype(dtype, torch_dtype, config.dtype))
        return (made, loading_info(made.state_dict(), [])) if output_loading_info else made

    @staticmethod
    def from_config(
        config: BackboneConfigMixin | TimmBackboneConfig | Mapping[str, Any],
        *,
        out_indices: int | Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        seed: int = 0,
        dtype: DType = None,
        torch_dtype: DType = None,
        attn_implementation: str | None = None,
        backbone_kwargs: Mapping[str, Any] | None = None,
    ) -> BackboneMixin:
        """A backbone with random weights from `seed`, in eval mode. `config` is left as it was.

        `dtype`: of the weights; that of the configuration when unset. `attn_implementation`: `sdpa` or `eager`. A
        `TimmBackboneConfig` with `use_pretrained_backbone` loads pretrained weights.
        """
        given = {"out_indices": out_indices, "out_features": out_features, "attn_implementation": attn_implementation}
        changes = {key: value for key, value in given.items() if value is not None}
        if isinstance(config, Mapping):
            own: BackboneConfigMixin | TimmBackboneConfig = config_of(config, **changes)
        elif isinstance(config, TimmBackboneConfig):
            own = config.changed(**changes)
        else:
            own = config_of(config.to_dict(), **changes)
        made: BackboneMixin
        if isinstance(own, TimmBackboneConfig):
            made = TimmBackbone(
                own.changed(backbone_kwargs={**own.backbone_kwargs, **(backbone_kwargs or {})}), seed=seed
            )
        else:
            made = backbone_class(own.model_type)(own, seed=seed, backbone_kwargs=backbone_kwargs)
        found = one_dtype(dtype, torch_dtype, own.dtype)
        return placed(made, None, own.dtype if found is None else found)  # type: ignore[arg-type]
