"""What the configuration classes of backbones add to an architecture: which maps; reading and writing."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, fields, fields as dataclass_fields
from typing import Any, TypeVar

from backbonekit.backbones.hf.config import ArchitectureConfig
from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS, SELECTION_FIELDS
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.errors import ContractError, NearestNames, RecipeError
from backbonekit.hf_models.common_fields import SECOND_NAMES, CommonFields, readable_common_fields
from backbonekit.hf_models.config_file import refuses_unknown_fields
from backbonekit.hf_models.selectable_config import LABELS, MAPS, SelectableConfig, add_properties

# What transformers computes from other fields; kept from a file, it would be wrong once one of those changes.
_COMPUTED = frozenset({"hidden_size", "num_hidden_layers", "num_layers"})
Config = TypeVar("Config", bound="BackboneConfigMixin")
ConfigClass = TypeVar("ConfigClass", bound="type[BackboneConfigMixin]")


def backbone_config(cls: ConfigClass) -> ConfigClass:
    """Class decorator of the configuration of a family: what transformers' class has is kept, and other fields are
    refused by name."""
    return refuses_unknown_fields(
        second_names=SECOND_NAMES,
        ignored={"model_type", *SELECTION_FIELDS},
        kept=(GENERIC_FIELDS | cls.derived_fields) - {"model_type"},
    )(cls)


@dataclass(kw_only=True, eq=False)
class BackboneConfigMixin(SelectableConfig, ArchitectureConfig):
    """An architecture's fields, and the stages whose maps are returned, by `out_features` or `out_indices`.

    Whichever is set, the other follows. Unset, both name the last stage, and `indices_were_set` is False: a model that
    needs more maps than one then takes what it needs. For the fields that every model has see `CommonFields`; `others`
    are fields of transformers' class that decide no map, such as `encoder_stride`, kept as they were given. Lists stay
    lists. Attributes that are no fields cannot be set.
    """

    out_features: InitVar[Sequence[str] | None] = None
    out_indices: InitVar[int | Sequence[int] | None] = None
    num_labels: InitVar[int | None] = None
    id2label: InitVar[Mapping[Any, str] | None] = None
    label2id: InitVar[Mapping[str, int] | None] = None

    def __post_init__(
        self,
        out_features: Sequence[str] | None,
        out_indices: int | Sequence[int] | None,
        num_labels: int | None,
        id2label: Mapping[Any, str] | None,
        label2id: Mapping[str, int] | None,
    ) -> None:
        object.__setattr__(self, "others", {})
        if getattr(type(self), "model_type", None) not in model_types():
            raise ContractError(
                f"{type(self).__name__} has no model_type of a family that is built here: BackboneConfigMixin is the"
                " base of those alone. The fix for a backbone of your own: register it with timm"
                " (timm.models.register_model) and name it in a TimmBackboneConfig."
            )
        architecture = self.architecture()  # raises for values that are wrong
        for item in fields(architecture):
            given, read = getattr(self, item.name), getattr(architecture, item.name)
            setattr(self, item.name, given if isinstance(given, list) else read)
        faults = self.common_faults()
        if faults:
            raise RecipeError(faults)
        self.set_output_features_output_indices(out_features, out_indices)
        self.set_labels(num_labels, id2label, label2id)
        object.__setattr__(self, "_is_complete", True)

    def architecture(self) -> ArchitectureConfig:
        """The fields that decide the maps, checked. Raises RecipeError."""
        found = family(self.model_type).config_class
        return found(**{item.name: getattr(self, item.name) for item in fields(found)})

    @property
    def stage_names(self) -> list[str]:
        """Every stage, the stem first."""
        return [level.name for level in family(self.model_type).levels(self.architecture())]

    @property
    def absent_maps(self) -> frozenset[int]:
        """Positions that have a stage name but no map."""
        return family(self.model_type).forbidden

    def _written(self) -> dict[str, Any]:
        names = self.stage_names
        return {
            **self.architecture().to_mapping(),
            **self.others,
            **self.written_labels(),
            "stage_names": names,
            "out_features": [names[index] for index in self.selected],
            "out_indices": list(self.selected),
        }

    @classmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any], **changes: Any) -> Config:
        """From the content of a `config.json`; `changes` are fields to set otherwise. Words of the file that nobody
        reads are ignored and stand in `notes`; an unknown change is a RecipeError."""
        known = [item.name for item in dataclass_fields(cls)]
        nearest_field = NearestNames(known)
        unknown = [
            f"{cls.model_type} has no field {name!r}; {nearest_field(name)}" for name in cls.unknown_words(changes)
        ]
        if unknown:
            raise RecipeError(unknown)
        selection = {key: changes.pop(key) for key in MAPS if key in changes}
        labels = {key: changes.pop(key) for key in LABELS if key in changes}
        apart = {*CommonFields.__dataclass_fields__, *SECOND_NAMES}
        config = cls.from_mapping({name: value for name, value in {**fields, **changes}.items() if name not in apart})
        others = cls.derived_fields - _COMPUTED - apart
        config.others.update({name: value for name, value in {**fields, **changes}.items() if name in others})
        config.update(readable_common_fields(fields))
        config.update({name: value for name, value in changes.items() if name in apart})
        if labels:
            config.set_labels(**labels)
        else:
            config.read_labels(fields)
        if not selection:
            selection = {key: fields[key] for key in MAPS if fields.get(key) is not None}
            # transformers writes the default out, so a default in the file is not a choice of the user.
            if selection.get("out_features") == config.stage_names[-1:]:
                selection = {}
        config.set_output_features_output_indices(selection.get("out_features"), selection.get("out_indices"))
        return config


add_properties(BackboneConfigMixin)
