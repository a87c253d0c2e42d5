"""What the configuration classes of backbones add to an architecture: which maps; reading and writing."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any, TypeVar

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.model_types import family
from backbonekit.contract.indices import indices_of_features, normalise_indices
from backbonekit.errors import ContractError
from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.weights.repository import open_repository


def agreed_indices(
    out_features: Sequence[str] | None,
    out_indices: int | Sequence[int] | None,
    stage_names: Sequence[str],
    forbidden: frozenset[int] = frozenset(),
) -> tuple[int, ...] | None:
    """Sorted positions in `stage_names`, or None where neither is given.

    Raises ContractError (a ValueError) that lists the stages for what is no stage, unsorted or repeated, and where the
    two name different stages.
    """
    by_name = None if out_features is None else indices_of_features(list(out_features), stage_names)
    by_number = None if out_indices is None else normalise_indices(_plain(out_indices), stage_names)
    if by_name is not None and by_number is not None and by_name != by_number:
        raise ContractError(
            f"out_features {list(out_features or ())} are the stages {list(by_name)}, but out_indices say"
            f" {list(by_number)}; give one of the two. The stages are {', '.join(stage_names)}."
        )
    chosen = by_number if by_number is not None else by_name
    absent = [index for index in chosen or () if index in forbidden]
    if absent:
        raise ContractError(f"This backbone returns no map of {stage_names[absent[0]]!r}; leave it out.")
    return chosen


def _plain(out_indices: int | Sequence[int]) -> int | Sequence[int]:
    # Hydra's lists are sequences of their own kind.
    return out_indices if isinstance(out_indices, int | str) else list(out_indices)


Config = TypeVar("Config", bound="BackboneConfigMixin")


@dataclass(kw_only=True)
class BackboneConfigMixin(ArchitectureConfig):
    """An architecture's fields, and the stages whose maps are returned, by `out_features` or `out_indices`.

    Whichever is set, the other follows. Unset, both name the last stage, and `indices_were_set` is False: a model that
    needs more maps than one then takes what it needs. `output_hidden_states`, `output_attentions`, `return_dict`: what
    the backbone returns when its call does not choose.
    """

    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True

    out_features: InitVar[Sequence[str] | None] = None
    out_indices: InitVar[int | Sequence[int] | None] = None

    def __post_init__(self, out_features: Sequence[str] | None, out_indices: int | Sequence[int] | None) -> None:
        super().__post_init__()
        self._indices = agreed_indices(out_features, out_indices, self.stage_names, family(self.model_type).forbidden)

    @property
    def stage_names(self) -> list[str]:
        """Every stage, the stem first."""
        return [level.name for level in family(self.model_type).levels(self)]

    @property
    def indices_were_set(self) -> bool:
        """Whether the maps were chosen."""
        return self._indices is not None

    @property
    def selected(self) -> tuple[int, ...]:
        """The positions of the chosen stages, the last one by default."""
        return self._indices if self._indices is not None else (len(self.stage_names) - 1,)

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`, every field written out."""
        return {
            **self.to_mapping(),
            "stage_names": self.stage_names,
            "out_features": [self.stage_names[index] for index in self.selected],
            "out_indices": list(self.selected),
        }

    @classmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any], **changes: Any) -> Config:
        """From the content of a `config.json`; `changes` are fields to set otherwise."""
        selection = {key: changes.pop(key) for key in ("out_features", "out_indices") if key in changes}
        config = cls.from_mapping({**fields, **changes})
        if not selection:
            selection = {key: fields[key] for key in ("out_features", "out_indices") if fields.get(key) is not None}
            # transformers writes the default out, so a default in the file is not a choice of the user.
            if selection.get("out_features") == config.stage_names[-1:]:
                selection = {}
        if selection:
            chosen = agreed_indices(
                selection.get("out_features"),
                selection.get("out_indices"),
                config.stage_names,
                family(config.model_type).forbidden,
            )
            config._indices = chosen
        return config

    @classmethod
    def from_pretrained(
        cls: type[Config], name_or_folder: str | Path, *, revision: str | None = None, **changes: Any
    ) -> Config:
        """From the `config.json` of a Hub repository, the local cache or a folder."""
        return cls.from_dict(open_repository(name_or_folder, revision=revision).json(FILE), **changes)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` into a folder, which is made if needed."""
        write_config(self.to_dict(), folder)


def _get_indices(config: BackboneConfigMixin) -> list[int]:
    return list(config.selected)


def _set_indices(config: BackboneConfigMixin, value: int | Sequence[int] | None) -> None:
    config._indices = agreed_indices(None, value, config.stage_names, family(config.model_type).forbidden)


def _get_features(config: BackboneConfigMixin) -> list[str]:
    names = config.stage_names
    return [names[index] for index in config.selected]


def _set_features(config: BackboneConfigMixin, value: Sequence[str] | None) -> None:
    config._indices = agreed_indices(value, None, config.stage_names, family(config.model_type).forbidden)


# A constructor's argument and a property of one name: the property can only be set after the fields are read.
BackboneConfigMixin.out_indices = property(_get_indices, _set_indices)  # type: ignore[assignment]
BackboneConfigMixin.out_features = property(_get_features, _set_features)  # type: ignore[assignment]
