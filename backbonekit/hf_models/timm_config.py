"""`TimmBackboneConfig`: which architecture of timm, and which of its maps."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS, ignored_note
from backbonekit.backbones.timm.blueprint import TimmBlueprint, blueprint
from backbonekit.contract.option_schema import schema_of
from backbonekit.contract.option_values import faults_of
from backbonekit.contract.options import Range, Stride
from backbonekit.errors import ContractError, NearestNames, RecipeError
from backbonekit.hf_models.common_fields import SECOND_NAMES, CommonFields, readable_common_fields
from backbonekit.hf_models.config_file import refuses_unknown_fields
from backbonekit.hf_models.map_selection import agreed_indices
from backbonekit.hf_models.selectable_config import LABELS, MAPS, SelectableConfig, add_properties
from backbonekit.weights.untrusted_files import user_path

# What transformers writes besides, which follows from the rest.
_IDLE = GENERIC_FIELDS | {"stage_names", "_out_indices", "_out_features", "use_timm_backbone"}
_UNSET = [-1]  # what transformers writes by default
# Beside the name; the others have rules of their own: the arguments of the architecture, and the choice of maps.
_CHECKED = ("num_channels", "use_pretrained_backbone", "freeze_batch_norm_2d", "output_stride", "revision")


@refuses_unknown_fields(positional=1, second_names=SECOND_NAMES, ignored=_IDLE - GENERIC_FIELDS, kept=GENERIC_FIELDS)
@dataclass(eq=False)
class TimmBackboneConfig(SelectableConfig):
    """`backbone`: an architecture of timm, with or without a tag of weights. `num_channels`: of the images.

    `out_indices`, `out_features`: maps in timm's numbering (0 is the first of `features_only`); the last when unset.
    They are checked here where the name is an architecture's, and when the backbone is built where it is a repository.
    `use_pretrained_backbone`: take timm's published weights. `freeze_batch_norm_2d`: batch norms keep their statistics,
    scale and shift through all training. `output_stride`: of the deepest map, where the architecture can be dilated.
    `backbone_kwargs`: more arguments of the architecture's constructor. `features_only`: always, since a backbone
    returns maps. For the fields that every model has see `CommonFields`. Attributes that are no fields cannot be set.

    Raises RecipeError (a ValueError) for unknown fields and architectures, ContractError (a ValueError) for maps that
    are not there.
    """

    backbone: str
    num_channels: Annotated[int, Range(1, 1_024)] = 3
    features_only: bool = True
    use_pretrained_backbone: bool = False
    out_indices: InitVar[int | Sequence[int] | None] = None
    out_features: InitVar[Sequence[str] | None] = None
    freeze_batch_norm_2d: bool = False
    output_stride: Stride | None = None
    revision: str | None = None
    backbone_kwargs: Mapping[str, Any] = field(default_factory=dict)
    _: KW_ONLY
    num_labels: InitVar[int | None] = None
    id2label: InitVar[Mapping[Any, str] | None] = None
    label2id: InitVar[Mapping[str, int] | None] = None

    model_type = "timm_backbone"
    notes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(
        self,
        out_indices: int | Sequence[int] | None,
        out_features: Sequence[str] | None,
        num_labels: int | None,
        id2label: Mapping[Any, str] | None,
        label2id: Mapping[str, int] | None,
    ) -> None:
        object.__setattr__(self, "others", {})
        if self.features_only is not True:
            raise ContractError("features_only=False is no backbone: a TimmBackbone returns feature maps.")
        self.backbone = str(self.backbone) if isinstance(self.backbone, Path) else self.backbone
        hints = get_type_hints(type(self), include_extras=True)
        faults = [
            fault
            for name in ("backbone", *_CHECKED)
            for fault in faults_of(f"TimmBackboneConfig: {name}", getattr(self, name), schema_of(hints[name]))
        ]
        faults += self.common_faults()
        if faults:
            raise RecipeError(faults)
        self.set_output_features_output_indices(out_features, out_indices)
        self.set_labels(num_labels, id2label, label2id)
        object.__setattr__(self, "_is_complete", True)

    @property
    def names_are_known(self) -> bool:
        """A folder or a repository is not opened before the backbone is built."""
        return not _is_repository(self.backbone)

    @property
    def stage_names(self) -> list[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Every map of the architecture, in timm's numbering."""
        return list(_stage_names(self.backbone, self.revision, json.dumps(self._arguments(), default=str)))

    def blueprint(self) -> TimmBlueprint:
        """The architecture before it is built: its levels, its processing. Raises RecipeError, ContractError."""
        return blueprint(
            self.backbone, config=None, revision=self.revision, in_channels=self.num_channels, args=self._arguments()
        )

    def chosen(self, plan: TimmBlueprint) -> tuple[int, ...] | None:
        """Positions among the architecture's maps; None when unset."""
        return agreed_indices(self.given_features, self.given_indices, [level.name for level in plan.levels])

    def _written(self) -> dict[str, Any]:
        values = {name: value for name, value in vars(self).items() if name in _OWN_FIELDS}
        return {
            "model_type": self.model_type,
            **values,
            "backbone_kwargs": dict(self.backbone_kwargs),
            **self.others,
            **self.written_labels(),
            # As they were given: the names of a repository are not known.
            "out_indices": self.given_indices,
            "out_features": self.given_features,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], **changes: Any) -> "TimmBackboneConfig":
        """From the content of a `config.json`; `changes` are fields to set otherwise, `out_indices` or `out_features`
        in place of both. Words that nobody reads are listed in `notes`; an unknown change is a RecipeError."""
        known = [*_OWN_FIELDS, *MAPS, *LABELS, *CommonFields.__dataclass_fields__, *SECOND_NAMES]
        unknown = [name for name in changes if name not in known and name not in _IDLE]
        if unknown:
            nearest_field = NearestNames(known)
            raise RecipeError([f"backbone_config.{name} is unknown; {nearest_field(name)}" for name in unknown])
        own = (*_OWN_FIELDS, *MAPS)
        found = {name: value for name, value in fields.items() if name in own and value is not None}
        if not isinstance(found.get("backbone"), str):
            raise RecipeError("backbone_config.backbone must name an architecture of timm.")
        if "out_indices" in found:
            found.pop("out_features", None)  # the same, by name
        if set(MAPS) & changes.keys() or found.get("out_indices") == _UNSET:
            found.pop("out_indices", None)
            found.pop("out_features", None)
        config = cls(**{**found, **readable_common_fields(fields), **changes})
        if not set(LABELS) & changes.keys():
            config.read_labels(fields)
        words = [name for name in fields if name not in known and name not in _IDLE]
        object.__setattr__(config, "notes", ignored_note(f"{cls.model_type} config", words, known))
        return config

    def changed(self, **changes: Any) -> "TimmBackboneConfig":
        """A copy with other values, `out_indices` or `out_features` in place of both."""
        maps = (
            {}
            if set(MAPS) & changes.keys()
            else {"out_indices": self.given_indices, "out_features": self.given_features}
        )
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return type(self)(**{**values, **self.others, **maps, "id2label": self._labels, **changes})

    def of_saved(self, plan: TimmBlueprint, out_indices: Sequence[int]) -> "TimmBackboneConfig":
        """What describes weights that are stored beside it: nothing to fetch, and no folder to look into."""
        saved = {
            key: value for key, value in plan.identity.model_args.items() if key not in ("in_chans", "num_classes")
        }
        return self.changed(
            backbone=plan.identity.architecture,
            out_indices=list(out_indices),
            use_pretrained_backbone=False,
            revision=None,
            backbone_kwargs={**saved, **self.backbone_kwargs},
        )

    def _arguments(self) -> dict[str, Any]:
        stride = {} if self.output_stride is None else {"output_stride": self.output_stride}
        return {**self.backbone_kwargs, **stride}


_OWN_FIELDS = tuple(
    item.name for item in fields(TimmBackboneConfig) if item.name not in CommonFields.__dataclass_fields__
)
add_properties(TimmBackboneConfig)


def _is_repository(name: str) -> bool:
    """A folder or a Hub repository, which is not opened before it is needed."""
    return "/" in name.removeprefix("timm/").removeprefix("hf-hub:timm/") or user_path(name).is_dir()


@lru_cache(maxsize=64)
def _stage_names(name: str, revision: str | None, arguments: str) -> tuple[str, ...]:
    # Channels of the images change no name.
    plan = blueprint(name, config=None, revision=revision, in_channels=3, args=json.loads(arguments))
    return tuple(level.name for level in plan.levels)
