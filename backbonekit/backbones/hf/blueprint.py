"""The `hf` source: backbones of transformers, read from its `config.json` and weights, built of timm modules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from backbonekit.backbones.blueprint import CONFIG, DescribedBlueprint, own_names
from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.dropout import set_dropout
from backbonekit.backbones.hf.family import BodyPlan, Family, OutputNorm
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.backbones.hf.output_maps import check_output_norm
from backbonekit.backbones.nested_checkpoint import backbone_alone, backbone_config_of
from backbonekit.backbones.pretrained import adapt_stem
from backbonekit.backbones.timm import blueprint as timm_source
from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.backbones.timm.names import is_timm_format
from backbonekit.contract.features import Level
from backbonekit.contract.processing import Processing
from backbonekit.errors import NearestNames, RecipeError
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.construct import shapes_alone
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.stored_tensors import StoredTensor, stand_in


def blueprint(
    name: str | None,
    *,
    config: Mapping[str, Any] | None,
    revision: str | None,
    in_channels: int,
    args: Mapping[str, Any],
) -> "HFBlueprint | TimmBlueprint":
    """A backbone by Hub id or folder (`name`), or by the content of its `config.json`, or by both. Of a whole model
    with a `backbone_config` only the backbone is built.

    `args`: `norm`, the normalisation of the maps (none, final, per_stage, or last: the final norm on the last stage
    alone; or embedding: that of the last stage's map, or of the vector that it is pooled to, as transformers' model of
    the family normalises it; each family has its default), and the fields of the configuration that matter in training
    only, such as `drop_path_rate`. A `config.json` in timm's own format describes an architecture of timm, whose `args`
    are those of its constructor. Reads `config.json` alone, and only where `config` is not given. Raises RecipeError,
    ContractError, StorageError.
    """
    repository = None
    if config is None:
        if name is None:
            raise RecipeError("backbone.name or backbone.config is needed: a Hub id, a folder, or a model_type.")
        repository = open_repository(name, revision=revision)
        config = repository.json(CONFIG)
        if is_timm_format(config):
            return timm_source.blueprint(
                name, config=None, revision=repository.commit or revision, in_channels=in_channels, args=args
            )
    return of_config(config, name, in_channels=in_channels, args=args, repository=repository)


def of_config(
    config: Mapping[str, Any],
    name: str | None = None,
    *,
    in_channels: int,
    args: Mapping[str, Any],
    repository: Repository | None = None,
) -> "HFBlueprint":
    """A backbone by the content of a `config.json` of transformers, which was read from `repository`."""
    config = backbone_config_of(config, model_types(), name or "backbone.config")
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise RecipeError(f"backbone.config has no model_type; one of {', '.join(model_types())} is expected.")
    found = family(model_type)
    parsed = found.config_class.from_mapping(config)
    return HFBlueprint(name, found, parsed, in_channels, dict(args), repository)


EMBEDDING = "embedding"  # as `args.norm`


class HFBlueprint(DescribedBlueprint):
    """A backbone of transformers before it is constructed: see `contract.roles.Blueprint`."""

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
        super().__init__(name, family.model_type, in_channels, repository)
        self.family = family
        self.architecture = config
        self.notes = config.notes
        self.norm: OutputNorm = _checked_args(family, config, args)
        self.normalises_vectors = args.get("norm") == EMBEDDING and family.pooled_epsilon is not None
        self._built = replace(config, **{key: value for key, value in args.items() if key != "norm"})
        # With the images' own number of channels: in some families it is also that of the first level.
        image_channels: Any = {"num_channels": in_channels}
        self.levels: tuple[Level, ...] = family.levels(replace(config, **image_channels))
        self.forbidden = family.forbidden
        self.canvas = family.canvas(config)

    @property
    def config(self) -> dict[str, Any]:
        return self.architecture.to_mapping()

    @property
    def _usual_processing(self) -> Processing:
        return self.family.processing

    def construct(self, out_indices: Sequence[int]) -> StagedBackbone:
        positions = self._positions(out_indices)
        plan = BodyPlan(self.in_channels, positions[-1], self._has_final_norm(positions))
        body = self.family.construct_body(self._built, plan)
        rate = set_dropout(body, self._built.dropouts, self._built.dropout_rates)
        return StagedBackbone(
            body,
            family=self.family,
            levels=self.levels,
            out_indices=positions,
            in_channels=self.in_channels,
            norm=self.norm,
            name=self.name,
            builder=self._builder,
            stem_dropout=rate,
            pooled_epsilon=self.family.pooled_epsilon(self.architecture) if self._has_pooled_norm(positions) else None,  # type: ignore[misc]
        ).eval()

    def num_bytes(self, out_indices: Sequence[int]) -> int:
        with shapes_alone() as count:
            self.construct(out_indices)
        return count.num_bytes

    def checkpoint(
        self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None
    ) -> Checkpoint:
        """Raises RecipeError where the weights' own `config.json` describes another architecture."""
        positions = self.default_indices if out_indices is None else self._positions(out_indices)
        stored = self._stored(pretrained, revision)
        ours = own_names(stored)
        if ours is None:
            ours = self.family.key_map(self.architecture).translate(backbone_alone(stored))
        return self._completed(ours.replaced(self._cut(ours, positions)), positions)

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        if key.startswith("norms.") and tensor.numel() == 0:
            weight, bias = self.family.norm_start(self.architecture)
            value = weight if key.endswith("weight") else bias
            return torch.full(shape, value), "not in the checkpoint: starts as plain normalisation"
        if key == self.family.stem:
            return adapt_stem(tensor, self.in_channels)
        if key == self.family.position_table and self.family.resample_positions is not None:
            if tensor.shape[-1] != shape[-1]:
                return None
            how = f"positions resampled from {tensor.shape[1]} to {shape[1]}"
            return self.family.resample_positions(tensor, shape[1]), how
        return None

    @property
    def _builder(self) -> str:
        if self._identifier is None:
            return f"AutoBackbone.from_config({self.family.model_type} config"
        return f"AutoBackbone.from_pretrained({self._identifier!r}"

    def _has_final_norm(self, positions: tuple[int, ...]) -> bool:
        is_last = positions[-1] == len(self.levels) - 1
        return (self.norm in ("final", "last") and is_last) or (
            self.norm == "final" and self.family.final_norm == "every"
        )

    def _has_pooled_norm(self, positions: tuple[int, ...]) -> bool:
        return self.normalises_vectors and positions[-1] == len(self.levels) - 1

    def _described(self, repository: Repository) -> dict[str, Any]:
        return dict(backbone_config_of(repository.json(CONFIG), model_types(), repository.origin))

    def _differences(self, stored: dict[str, Any]) -> list[str]:
        return list(self.architecture.differences(self.family.config_class.from_mapping(stored)))

    def builds(self, name: str, out_indices: Sequence[int]) -> bool:
        """Whether a weight of the whole architecture, by our name, is part of the module that `construct` returns."""
        positions = self._positions(out_indices)
        owner, _, rest = name.partition(".")
        if owner == "norms":
            return self.norm == "per_stage" and rest.partition(".")[0] in {
                level.name for level in self.levels[: positions[-1] + 1]
            }
        if owner == "pooled_norm":
            return self._has_pooled_norm(positions)
        if owner != "body":
            return True  # an unknown name: filling reports it
        stage = self.family.stage_of(name)
        return self._has_final_norm(positions) if stage is None else stage <= positions[-1]

    def _cut(self, checkpoint: Checkpoint, positions: tuple[int, ...]) -> dict[str, StoredTensor]:
        """The tensors without those of stages and norms that are not built."""
        return {key: entry for key, entry in checkpoint.tensors.items() if self.builds(key, positions)}

    def norms_by_name(self, out_indices: Sequence[int]) -> tuple[str, ...]:
        """The weights of the built stages' output norms. `adapt` initialises those that a checkpoint lacks."""
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


def _checked_args(family: Family, config: ArchitectureConfig, args: Mapping[str, Any]) -> OutputNorm:
    allowed = ["norm", *sorted(family.config_class.training_fields | family.config_class.dropouts.keys())]
    nearest_argument = NearestNames(allowed)
    faults = [
        f"args.{key}: {family.model_type} takes no such argument; {nearest_argument(key)}"
        " Fields of the architecture stand in backbone.config."
        for key in args
        if key not in allowed
    ]
    default = family.default_norm(config)
    norm = args.get("norm", default)
    if norm not in (*get_args(OutputNorm), EMBEDDING):
        faults.append(f"args.norm must be one of {', '.join((*get_args(OutputNorm), EMBEDDING))}, got {norm!r}.")
    if faults:
        raise RecipeError(faults)
    if norm == EMBEDDING:
        norm = default if default in ("final", "last") else "none" if family.final_norm == "never" else "last"
    check_output_norm(family, norm)
    return norm
