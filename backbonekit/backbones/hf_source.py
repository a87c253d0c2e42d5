"""The `hf` source: backbones that transformers has, from its `config.json` and weights, on timm modules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.families import family, model_types
from backbonekit.backbones.hf.family import BodyPlan, Family, OutputNorm
from backbonekit.backbones.hf.output_norms import check_output_norm
from backbonekit.backbones.hf.staged_backbone import StagedBackbone
from backbonekit.backbones.pixel_statistics import with_channels
from backbonekit.backbones.selection import select_built
from backbonekit.backbones.stem_channels import adapt_stem
from backbonekit.backbones.weights_location import locate
from backbonekit.backbones.whole_models import backbone_alone, backbone_config_of
from backbonekit.contract.features import Level
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, nearest
from backbonekit.storage.checkpoint import Checkpoint, open_checkpoint
from backbonekit.storage.preprocessor_config import PREPROCESSOR_CONFIG, read_processing
from backbonekit.storage.repository import Repository, open_repository
from backbonekit.storage.stored_tensor import StoredTensor, stand_in

CONFIG = "config.json"


def blueprint(
    name: str | None,
    *,
    config: Mapping[str, Any] | None,
    revision: str | None,
    in_channels: int,
    args: Mapping[str, Any],
) -> "HFBlueprint":
    """A backbone by Hub id or folder (`name`), or by the content of its `config.json`, or by both. Of a whole model
    that holds one (`backbone_config`) it is the backbone alone.

    `args`: `norm` (what is done to the maps: none, final, last, which is the final norm on the last stage alone, or
    per_stage; each family has its default) and the fields of the configuration that matter in training only, such as
    `drop_path_rate`. Reads `config.json` alone, and only where `config` is not given. Raises RecipeError,
    ContractError, StorageError.
    """
    repository = None
    if config is None:
        if name is None:
            raise RecipeError("backbone.name or backbone.config is needed: a Hub id, a folder, or a model_type.")
        repository = open_repository(name, revision=revision)
        config = repository.json(CONFIG)
    config = backbone_config_of(config, model_types(), name or "backbone.config")
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise RecipeError(f"backbone.config has no model_type; one of {', '.join(model_types())} is expected.")
    found = family(model_type)
    parsed = found.config_class.from_mapping(config)
    return HFBlueprint(name, found, parsed, in_channels, dict(args), repository)


class HFBlueprint:
    """A backbone of the transformers dialect before it exists: see `contract.roles.Blueprint`."""

    source = "hf"

    def __init__(
        self,
        name: str | None,
        family: Family,
        config: ArchitectureConfig,
        in_channels: int,
        args: dict[str, Any],
        repository: Repository | None,
    ) -> None:
        self.family = family
        self.architecture = config
        self.in_channels = in_channels
        self.repository = repository
        self._identifier = name
        self.name = name or family.model_type
        self.norm: OutputNorm = _checked_args(family, config, args)
        self._built = replace(config, **{key: value for key, value in args.items() if key != "norm"})
        # With the pictures' own channels, because of some families they are the first level's.
        seen: Any = {"num_channels": in_channels}
        self.levels: tuple[Level, ...] = family.levels(replace(config, **seen))
        self.forbidden = family.forbidden
        self.default_indices = (len(self.levels) - 1,)
        self.canvas = family.canvas(config)

    @property
    def config(self) -> dict[str, Any]:
        return self.architecture.to_mapping()

    @property
    def processing(self) -> Processing:
        """From `preprocessor_config.json` of the repository where one was opened or is a local folder."""
        return with_channels(self._processing, self.in_channels)

    @property
    def _processing(self) -> Processing:
        repository = self.repository
        if repository is None and self._identifier is not None and Path(self._identifier).expanduser().is_dir():
            repository = open_repository(self._identifier)
        if repository is None or not repository.has(PREPROCESSOR_CONFIG):
            return self.family.processing
        shown = f"{repository.origin}: {PREPROCESSOR_CONFIG}"
        return read_processing(repository.json(PREPROCESSOR_CONFIG), shown=shown)

    def construct(self, out_indices: Sequence[int]) -> StagedBackbone:
        positions = self._positions(out_indices)
        plan = BodyPlan(self.in_channels, positions[-1], self._has_final_norm(positions))
        body = self.family.construct_body(self._built, plan)
        return StagedBackbone(
            body,
            family=self.family,
            levels=self.levels,
            out_indices=positions,
            in_channels=self.in_channels,
            norm=self.norm,
            name=self.name,
            builder=self._builder,
        ).eval()

    def checkpoint(
        self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None
    ) -> Checkpoint:
        """Raises RecipeError where the weights' own `config.json` describes another architecture."""
        # One commit for both, where the configuration came from the repository of the weights.
        own = self.repository if pretrained is True else None
        where = own or locate(pretrained, revision, self._identifier)
        if isinstance(where, Repository):
            if where.has(CONFIG):
                self._compare(where)
            if pretrained is True:
                self.repository = where
        positions = self.default_indices if out_indices is None else self._positions(out_indices)
        stored = open_checkpoint(where)
        ours = _own_names(stored)
        if ours is None:
            ours = self.family.key_map(self.architecture).translate(backbone_alone(stored))
        return self._completed(ours.replaced(self._cut(ours, positions)), positions)

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        if key.startswith("norms.") and tensor.numel() == 0:
            weight, bias = self.family.norm_start(self.architecture)
            value = weight if key.endswith("weight") else bias
            return torch.full(shape, value), "not in the checkpoint: starts as plain normalisation"
        if key == self.family.stem:
            return adapt_stem(tensor, self.in_channels, pretrained_channels=tensor.shape[1])
        if key == self.family.position_table and self.family.resample_positions is not None:
            if tensor.shape[-1] != shape[-1]:
                return None
            how = f"positions resampled from {tensor.shape[1]} to {shape[1]}"
            return self.family.resample_positions(tensor, shape[1]), how
        return None

    def _positions(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        return select_built(
            out_indices,
            self.levels,
            built=len(self.levels),
            forbidden=self.forbidden,
            name=self.name,
            builder=self._builder,
        )

    @property
    def _builder(self) -> str:
        """The call that builds it, for sentences."""
        if self._identifier is None:
            return f"AutoBackbone.from_config({self.family.model_type} config"
        return f"AutoBackbone.from_pretrained({self._identifier!r}"

    def _has_final_norm(self, positions: tuple[int, ...]) -> bool:
        is_last = positions[-1] == len(self.levels) - 1
        return (self.norm in ("final", "last") and is_last) or (
            self.norm == "final" and self.family.final_norm == "every"
        )

    def _compare(self, repository: Repository) -> None:
        stored = backbone_config_of(repository.json(CONFIG), model_types(), repository.origin)
        model_type = stored.get("model_type")
        if model_type != self.family.model_type:
            raise RecipeError(
                f"backbone.config is of model_type {self.family.model_type}, the weights at {repository.origin} of"
                f" {model_type}. Leave config out to take theirs."
            )
        differences = self.architecture.differences(self.family.config_class.from_mapping(stored))
        if differences:
            raise RecipeError(
                f"backbone.config and the config.json of the weights at {repository.origin} differ in"
                f" {'; '.join(differences)}. Leave config out to take theirs, or pretrained to start at random."
            )

    def builds(self, name: str, out_indices: Sequence[int]) -> bool:
        """Whether a weight of the whole architecture, by our name, is part of what `construct` gives."""
        positions = self._positions(out_indices)
        owner, _, rest = name.partition(".")
        if owner == "norms":
            return self.norm == "per_stage" and rest.partition(".")[0] in {
                level.name for level in self.levels[: positions[-1] + 1]
            }
        if owner != "body":
            return True  # no name of ours: filling reports it
        stage = self.family.stage_of(name)
        return self._has_final_norm(positions) if stage is None else stage <= positions[-1]

    def _cut(self, checkpoint: Checkpoint, positions: tuple[int, ...]) -> dict[str, StoredTensor]:
        """Without what belongs to stages that are not built, and to norms that are not wanted."""
        return {key: entry for key, entry in checkpoint.tensors.items() if self.builds(key, positions)}

    def norms_by_name(self, out_indices: Sequence[int]) -> tuple[str, ...]:
        """The weights of the built stages' output norms. Checkpoints mostly lack them; `adapt` makes plain ones."""
        if self.norm != "per_stage":
            return ()
        return tuple(
            f"norms.{level.name}.{leaf}"
            for index, level in enumerate(self.levels[: self._positions(out_indices)[-1] + 1])
            if index not in self.forbidden
            for leaf in ("weight", "bias")
        )

    def _completed(self, checkpoint: Checkpoint, positions: tuple[int, ...]) -> Checkpoint:
        absent = {name: stand_in() for name in self.norms_by_name(positions)}
        return checkpoint.replaced({**absent, **checkpoint.tensors})


def _own_names(checkpoint: Checkpoint) -> Checkpoint | None:
    """The checkpoint as it is where it was saved from a module of ours, else None."""
    for prefix in ("", "backbone."):
        if any(key.startswith(f"{prefix}body.") for key in checkpoint.tensors):
            return checkpoint.under(prefix)
    return None


def _checked_args(family: Family, config: ArchitectureConfig, args: Mapping[str, Any]) -> OutputNorm:
    allowed = ["norm", *sorted(family.config_class.training_fields)]
    faults = [
        f"args.{key}: {family.model_type} takes no such argument; {nearest(str(key), allowed)}"
        " Fields of the architecture stand in backbone.config."
        for key in args
        if key not in allowed
    ]
    norm = args.get("norm", family.default_norm(config))
    if norm not in get_args(OutputNorm):
        faults.append(f"args.norm must be one of {', '.join(get_args(OutputNorm))}, got {norm!r}.")
    if faults:
        raise RecipeError(faults)
    check_output_norm(family, norm)
    return norm
