"""`TimmBackbone` of the Hugging Face guide: any architecture of timm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbonekit.backbones.timm.backbone import TimmBackbone as Backbone
from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.backbones.timm.feature_names import timm_feature_names
from backbonekit.errors import ContractError
from backbonekit.hf_models.backbone_mixin import BackboneMixin, BackboneOutput, build_backbone
from backbonekit.hf_models.config_file import FILE, is_weight_file
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.training.freeze import freeze
from backbonekit.weights.checkpoint import Checkpoint, open_checkpoint
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.stored_tensors import StoredTensor
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.write_folder import replacing
from backbonekit.weights.write_tensors import save_tensors

_COUNTER = "num_batches_tracked"


class TimmBackbone(BackboneMixin):
    """A timm architecture, its weights random from `seed` unless the configuration selects the published ones."""

    config_class = TimmBackboneConfig
    backbone: Backbone

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
        self._finish(config, plan, backbone, report)

    def _finish(
        self, config: TimmBackboneConfig, plan: TimmBlueprint, backbone: Backbone, report: FillReport | None
    ) -> None:
        super().__init__(backbone, config, report)
        self.plan = plan
        if config.freeze_batch_norm_2d:
            self.freeze_batch_norm_2d()

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        out_indices: int | Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        revision: str | None = None,
        num_channels: int | None = None,
        use_pretrained_backbone: bool = True,
        backbone_kwargs: Mapping[str, Any] | None = None,
        freeze_batch_norm_2d: bool | None = None,
    ) -> "TimmBackbone":
        """Published weights by timm's name; by folder or Hub id weights in timm's format, or what `save_pretrained`
        wrote here or in transformers. Of the latter, what is None is as saved."""
        wishes = {
            "out_indices": out_indices,
            "out_features": out_features,
            "num_channels": num_channels,
            "freeze_batch_norm_2d": freeze_batch_norm_2d,
        }
        changes = {key: value for key, value in wishes.items() if value is not None}
        repository = _saved_backbone(name, revision)
        if repository is None:
            return cls(
                TimmBackboneConfig(
                    str(name),
                    use_pretrained_backbone=use_pretrained_backbone,
                    revision=revision,
                    backbone_kwargs=dict(backbone_kwargs or {}),
                    **changes,
                )
            )
        fields = {**repository.json(FILE), "use_pretrained_backbone": False}
        saved = TimmBackboneConfig.from_dict(fields)
        kwargs = {**saved.backbone_kwargs, **(backbone_kwargs or {})}
        config = TimmBackboneConfig.from_dict(fields, **changes, backbone_kwargs=kwargs)
        if not use_pretrained_backbone:
            return cls(config)
        plan = config.blueprint()
        indices = config.chosen(plan) or plan.default_indices
        with without_weights():
            backbone = plan.construct(indices)
        report = fill(backbone, _translated(open_checkpoint(repository), saved, backbone), adapt=plan.adapt)
        finish(backbone)
        made = cls.__new__(cls)
        made._finish(config, plan, backbone, report)
        return made

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors`, the weights by the names that they have in transformers.

        What `out_indices` do not reach is left out. transformers reads the configuration with its class; its
        `from_pretrained` takes names of timm alone, so there the weights are read with `load_state_dict`.
        """
        self.check_as_built()
        config = self.config.of_saved(self.plan, self.out_indices)
        with torch.device("meta"):
            used = set(self.plan.construct(self.out_indices).state_dict())
        tensors = {name: tensor for name, tensor in self.backbone.state_dict().items() if name in used}
        written = timm_feature_names(self.plan, self.out_indices).reverse(tensors)
        with replacing(Path(folder), stale=is_weight_file, last=FILE) as temporary:
            config.save_pretrained(temporary)
            save_tensors(temporary, {name: tensor.detach().clone() for name, tensor in written.items()})

    def freeze_batch_norm_2d(self) -> None:
        """Batch norms keep their statistics, scale and shift from now on, also through `train()`."""
        freeze(self.backbone, norms=True)

    def _run(self, pixel_values: Tensor, states: bool, attentions: bool) -> BackboneOutput:
        if attentions:
            raise ContractError(
                "output_attentions: every architecture of timm attends in a way of its own, so the weights are not"
                " given here. The fix: timm.utils.AttentionExtract(model.backbone.body), or a class of a family, such"
                " as Dinov2Backbone."
            )
        if not states:
            return BackboneOutput(feature_maps=self.backbone(pixel_values).maps)
        maps = self.backbone.maps_at(pixel_values, range(self.backbone.built)).maps
        return BackboneOutput(feature_maps=tuple(maps[index] for index in self.out_indices), hidden_states=maps)


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
    plan = replace(saved, out_indices=None, out_features=None).blueprint()
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
