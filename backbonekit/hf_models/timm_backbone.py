"""`TimmBackbone` of the Hugging Face guide: any architecture of timm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.assembly.placement import DType, placed
from backbonekit.backbones.timm.backbone import TimmBackbone as Backbone
from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.backbones.timm.feature_names import timm_feature_names
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.hf_models.backbone_mixin import BackboneMixin, BackboneType, build_backbone
from backbonekit.hf_models.common_fields import CommonFields
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.hub_files import located, reading
from backbonekit.hf_models.loaded_weights import loading_info
from backbonekit.hf_models.loading_options import DeviceMap, one_device, one_dtype, refuse_unsupported
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.training.freeze import freeze
from backbonekit.weights.budget import within_memory
from backbonekit.weights.checkpoint import Checkpoint, open_checkpoint
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.stored_tensors import StoredTensor
from backbonekit.weights.untrusted_files import user_path

_COUNTER = "num_batches_tracked"
# Fields of a configuration that weights leave open.
_LEFT_OPEN = (*CommonFields.__dataclass_fields__, "num_channels", "freeze_batch_norm_2d", "output_stride", "id2label")


class TimmBackbone(BackboneMixin):
    """A timm architecture, its weights random from `seed` unless the configuration selects the published ones."""

    config_class = TimmBackboneConfig
    backbone: Backbone
    backbone_type = BackboneType.TIMM

    def __init__(self, config: TimmBackboneConfig, *, seed: int = 0) -> None:
        plan = config.blueprint()
        backbone, report = build_backbone(
            plan,
            config.chosen(plan),
            pretrained=config.use_pretrained_backbone,
            revision=config.revision,
            seed=seed,
        )
        assert isinstance(backbone, Backbone)
        self._finish(config, plan, backbone, report, seed=seed)

    def _finish(
        self,
        config: TimmBackboneConfig,
        plan: TimmBlueprint,
        backbone: Backbone,
        report: FillReport | None,
        *,
        seed: int,
    ) -> None:
        super().__init__(backbone, config, report, seed=seed)
        self.plan = plan
        if config.freeze_batch_norm_2d:
            self.freeze_batch_norm_2d()

    @property
    def processing(self) -> Processing:
        return self.plan.processing

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: TimmBackboneConfig | None = None,
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
        use_pretrained_backbone: bool = True,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Any:
        """Published weights by timm's name; by folder or Hub id weights in timm's format, or what `save_pretrained`
        wrote here or in transformers. With `output_loading_info` a pair: the backbone, and which weights were not read.

        `changes`: fields of the configuration, such as `out_indices`, `num_channels`, `freeze_batch_norm_2d`; of saved
        weights what is not among them is as saved. `config`: all of them at once. For the options about files see
        `files_of`; for `dtype` and `device_map` `one_dtype` and `one_device`.
        """
        refuse_unsupported(changes)
        if ignore_mismatched_sizes:
            raise ContractError(
                "ignore_mismatched_sizes=True: every weight of a backbone must fit. The fix: leave it out."
            )
        if config is not None:
            maps = {"out_indices": config.given_indices, "out_features": config.given_features}
            own = {name: value for name, value in config.to_diff_dict().items() if name in _LEFT_OPEN}
            changes = {**own, **maps, **changes}
            backbone_kwargs = {**config.backbone_kwargs, **(backbone_kwargs or {})}
        with reading(cache_dir, token, local_files_only):
            made = cls._loaded(
                located(pretrained_model_name_or_path, subfolder),
                revision,
                use_pretrained_backbone,
                dict(backbone_kwargs or {}),
                changes,
            )
        report = made.weights
        stored = None if report is None else report.stored_dtype
        placed(made, one_device(device_map), one_dtype(dtype, torch_dtype, made.config.dtype, stored))
        info = loading_info([], []) if report is None else loading_info(report.missing, report.surplus)
        return (made, info) if output_loading_info else made

    @classmethod
    def _loaded(
        cls,
        name: str | Path,
        revision: str | None,
        use_pretrained_backbone: bool,
        backbone_kwargs: dict[str, Any],
        changes: dict[str, Any],
    ) -> "TimmBackbone":
        repository = _saved_backbone(name, revision)
        if repository is None:
            return cls(
                TimmBackboneConfig(
                    str(name),
                    use_pretrained_backbone=use_pretrained_backbone,
                    revision=revision,
                    backbone_kwargs=backbone_kwargs,
                    **changes,
                )
            )
        fields = {**repository.json(FILE), "use_pretrained_backbone": False}
        saved = TimmBackboneConfig.from_dict(fields)
        config = TimmBackboneConfig.from_dict(
            fields, **changes, backbone_kwargs={**saved.backbone_kwargs, **backbone_kwargs}
        )
        if not use_pretrained_backbone:
            return cls(config)
        plan = config.blueprint()
        indices = config.chosen(plan) or plan.default_indices
        with within_memory(plan.num_bytes(indices)), without_weights():
            backbone = plan.construct(indices)
        report = fill(backbone, _translated(open_checkpoint(repository), saved, backbone), adapt=plan.adapt)
        finish(backbone)
        made = cls.__new__(cls)
        made._finish(config, plan, backbone, report, seed=0)
        return made

    def _written(self, state_dict: dict[str, Tensor]) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
        """The weights by the names that they have in transformers.

        What `out_indices` do not reach is left out. transformers reads the configuration with its class; its
        `from_pretrained` takes names of timm alone, so there the weights are read with `load_state_dict`.
        """
        self.check_as_built()
        self.check_as_built()
        config = self.config.of_saved(self.plan, self.out_indices)
        with torch.device("meta"):
            used = set(self.plan.construct(self.out_indices).state_dict())
        inner = {name.removeprefix("backbone."): tensor for name, tensor in state_dict.items()}
        tensors = {name: tensor for name, tensor in inner.items() if name in used}
        return {FILE: self._described(config)}, timm_feature_names(self.plan, self.out_indices).reverse(tensors)

    def _made_anew(self) -> "TimmBackbone":
        return type(self)(self.config.changed(use_pretrained_backbone=False), seed=self._seed)

    def freeze_batch_norm_2d(self) -> None:
        """Batch norms keep their statistics, scale and shift from now on, also through `train()`."""
        freeze(self.backbone, norms=True)


def _saved_backbone(name: str | Path, revision: str | None) -> Repository | None:
    """A folder or Hub repository whose config.json is a TimmBackbone's; None for names of timm and its own format."""
    text = str(name)
    is_hub = "/" in text and not text.startswith(("timm/", "hf-hub:", "hf_hub:"))
    if not is_hub and not user_path(text).is_dir():
        return None
    repository = open_repository(name, revision=revision)
    is_saved = repository.has(FILE) and repository.json(FILE).get("model_type") == TimmBackboneConfig.model_type
    return repository if is_saved else None


def _translated(checkpoint: Checkpoint, saved: TimmBackboneConfig, backbone: Backbone) -> Checkpoint:
    """The weights that the backbone has, by our names."""
    plan = saved.blueprint()
    indices = saved.chosen(plan) or plan.default_indices
    ours = timm_feature_names(plan, indices).translate(checkpoint)
    with torch.device("meta"):
        stored = set(plan.construct(indices).state_dict())
    # Frozen norms of transformers count no batches.
    counters = {
        name: StoredTensor((), torch.int64, lambda: torch.zeros((), dtype=torch.int64))
        for name in backbone.state_dict()
        if name.endswith(f".{_COUNTER}") and name not in ours
    }
    beyond = stored - set(backbone.state_dict())
    return ours.replaced({**counters, **{key: entry for key, entry in ours.tensors.items() if key not in beyond}})
