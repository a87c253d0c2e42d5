"""`TimmBackboneConfig`: which architecture of timm, and which of its maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.backbones.timm.blueprint import TimmBlueprint, blueprint
from backbonekit.contract.option_schema import schema_of
from backbonekit.contract.option_values import faults_of
from backbonekit.contract.options import Range, Stride
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.hf_models.config_file import FILE, refuses_unknown_fields, write_config
from backbonekit.hf_models.config_mixin import agreed_indices
from backbonekit.weights.repository import open_repository
from backbonekit.weights.untrusted_files import user_path

# What transformers writes besides, which follows from the rest.
_IDLE = GENERIC_FIELDS | {"stage_names", "_out_indices", "_out_features", "use_timm_backbone"}
_UNSET = [-1]  # what transformers writes by default
# The others have rules of their own: the architecture, its arguments, and the choice of maps.
_CHECKED = (
    "num_channels",
    "use_pretrained_backbone",
    "freeze_batch_norm_2d",
    "output_stride",
    "revision",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
)


@refuses_unknown_fields(positional=1)
@dataclass
class TimmBackboneConfig:
    """`backbone`: an architecture of timm, with or without a tag of weights. `num_channels`: of the images.

    `out_indices`, `out_features`: maps in timm's numbering (0 is the first of `features_only`); the last when unset.
    They are checked here where the name is an architecture's, and when the backbone is built where it is a repository.
    `use_pretrained_backbone`: take timm's published weights. `freeze_batch_norm_2d`: batch norms keep their statistics,
    scale and shift through all training. `output_stride`: of the deepest map, where the architecture can be dilated.
    `backbone_kwargs`: more arguments of the architecture's constructor. `features_only`: always, since a backbone
    returns maps. `output_hidden_states`, `output_attentions`, `return_dict`: what its call does not say.

    Raises RecipeError (a ValueError) for unknown fields and architectures, ContractError (a ValueError) for maps that
    are not there.
    """

    backbone: str
    num_channels: Annotated[int, Range(1, 1_024)] = 3
    features_only: bool = True
    use_pretrained_backbone: bool = False
    out_indices: int | Sequence[int] | None = None
    out_features: Sequence[str] | None = None
    freeze_batch_norm_2d: bool = False
    output_stride: Stride | None = None
    revision: str | None = None
    backbone_kwargs: Mapping[str, Any] = field(default_factory=dict)
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True

    model_type = "timm_backbone"

    def __post_init__(self) -> None:
        if self.features_only is not True:
            raise ContractError("features_only=False is no backbone: a TimmBackbone returns feature maps.")
        self.backbone = str(self.backbone)
        hints = get_type_hints(type(self), include_extras=True)
        faults = [
            fault
            for name in _CHECKED
            for fault in faults_of(f"TimmBackboneConfig: {name}", getattr(self, name), schema_of(hints[name]))
        ]
        if faults:
            raise RecipeError(faults)
        if isinstance(self.out_indices, Sequence) and not isinstance(self.out_indices, str):
            self.out_indices = list(self.out_indices)  # Hydra's lists are sequences of their own kind
        if self.indices_were_set and not _is_repository(self.backbone):
            agreed_indices(self.out_features, self.out_indices, self.stage_names)

    @property
    def indices_were_set(self) -> bool:
        """Whether the maps were chosen."""
        return self.out_indices is not None or self.out_features is not None

    @property
    def stage_names(self) -> list[str]:
        """Every map of the architecture, in timm's numbering."""
        return list(_stage_names(self.backbone, self.revision, json.dumps(self._arguments(), default=str)))

    def blueprint(self) -> TimmBlueprint:
        """The architecture before it is built: its levels, its processing. Raises RecipeError, ContractError."""
        return blueprint(
            self.backbone, config=None, revision=self.revision, in_channels=self.num_channels, args=self._arguments()
        )

    def chosen(self, plan: TimmBlueprint) -> tuple[int, ...] | None:
        """Positions among the architecture's maps; None when unset."""
        return agreed_indices(self.out_features, self.out_indices, [level.name for level in plan.levels])

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`, as transformers names it and with the fields that it has not."""
        written: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        plain = {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for name, value in written.items()
        }
        return {"model_type": self.model_type, **plain, "backbone_kwargs": dict(self.backbone_kwargs)}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], **changes: Any) -> "TimmBackboneConfig":
        """From the content of a `config.json`; `changes` are fields to set otherwise, `out_indices` or `out_features`
        in place of both. Raises RecipeError for fields that it does not know."""
        known = [item.name for item in fields(cls)]
        unknown = [name for name in {**given, **changes} if name not in known and name not in _IDLE]
        if unknown:
            raise RecipeError([f"backbone_config.{name} is unknown; {nearest(str(name), known)}" for name in unknown])
        found = {name: value for name, value in given.items() if name in known and value is not None}
        if not isinstance(found.get("backbone"), str):
            raise RecipeError("backbone_config.backbone must name an architecture of timm.")
        if "out_indices" in found:
            found.pop("out_features", None)  # the same, by name
        if {"out_indices", "out_features"} & changes.keys() or found.get("out_indices") == _UNSET:
            found.pop("out_indices", None)
            found.pop("out_features", None)
        return cls(**{**found, **changes})

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, *, revision: str | None = None, **changes: Any
    ) -> "TimmBackboneConfig":
        """From the `config.json` of a Hub repository, the local cache or a folder."""
        return cls.from_dict(open_repository(name_or_folder, revision=revision).json(FILE), **changes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` into a folder, which is made if needed."""
        write_config(self.to_dict(), folder)

    def of_saved(self, plan: TimmBlueprint, out_indices: Sequence[int]) -> "TimmBackboneConfig":
        """What describes weights that are stored beside it: nothing to fetch, and no folder to look into."""
        saved = {
            key: value for key, value in plan.identity.model_args.items() if key not in ("in_chans", "num_classes")
        }
        return replace(
            self,
            backbone=plan.identity.architecture,
            out_indices=list(out_indices),
            out_features=None,
            use_pretrained_backbone=False,
            revision=None,
            backbone_kwargs={**saved, **self.backbone_kwargs},
        )

    def _arguments(self) -> dict[str, Any]:
        stride = {} if self.output_stride is None else {"output_stride": self.output_stride}
        return {**self.backbone_kwargs, **stride}


def _is_repository(name: str) -> bool:
    """A folder or a Hub repository, which is not opened before it is needed."""
    return "/" in name.removeprefix("timm/").removeprefix("hf-hub:timm/") or user_path(name).is_dir()


@lru_cache(maxsize=64)
def _stage_names(name: str, revision: str | None, arguments: str) -> tuple[str, ...]:
    # Channels of the images change no name.
    plan = blueprint(name, config=None, revision=revision, in_channels=3, args=json.loads(arguments))
    return tuple(level.name for level in plan.levels)
