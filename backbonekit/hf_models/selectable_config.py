"""What the configurations of all backbones share, of a family of transformers or of timm."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

from backbonekit.errors import RecipeError, nearest
from backbonekit.hf_models.backbone_labels import ID2LABEL, LABEL2ID, NUM_LABELS, BackboneLabels
from backbonekit.hf_models.built_config import BuiltConfig
from backbonekit.hf_models.common_fields import SECOND_NAMES, CommonFields
from backbonekit.hf_models.config_methods import ConfigMethods
from backbonekit.hf_models.map_selection import OUT_FEATURES, OUT_INDICES, MapSelection, Names, Positions
from backbonekit.recipe.recipe import plain_data

Config = TypeVar("Config", bound="SelectableConfig")
MAPS = ("out_indices", "out_features")
LABELS = ("num_labels", "id2label", "label2id")
_OF_A_CALL = tuple(CommonFields.__dataclass_fields__)  # and of files and scripts: no map depends on them
_PROPERTIES = {
    "out_indices": OUT_INDICES,
    "out_features": OUT_FEATURES,
    "num_labels": NUM_LABELS,
    "id2label": ID2LABEL,
    "label2id": LABEL2ID,
}


class SelectableConfig(BuiltConfig, MapSelection, BackboneLabels, ConfigMethods, CommonFields):
    """Base of the dataclasses. Attributes that are no fields cannot be set."""

    _is_complete: ClassVar[bool] = False  # True of an object whose fields have been read

    @abstractmethod
    def _written(self) -> dict[str, Any]:
        """The content of a `config.json` without the fields of every model."""

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`, every field written out."""
        return {**self._written(), **self.common_values()}

    def to_diff_dict(self) -> dict[str, Any]:
        """What `save_pretrained` writes: without the fields of every model that are as by default."""
        return {**self._written(), **self.common_values(only_set=True)}

    @classmethod
    @abstractmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any], **changes: Any) -> Config:
        """From the content of a `config.json`; `changes` are fields to set otherwise."""

    def __setattr__(self, name: str, value: Any) -> None:
        name = SECOND_NAMES.get(name, name)
        known = [item.name for item in fields(self)]
        if self._models and name in known and name not in _OF_A_CALL:
            self.refuse_change(name, value)
        if not self._is_complete or name in _PROPERTIES or name.startswith("_") or name in known:
            super().__setattr__(name, self.checked_common(name, value) if self._is_complete else value)
        elif name in self.others:
            self.others[name] = value
        else:
            raise RecipeError(f"{type(self).__name__} has no field {name!r}; {nearest(name, [*known, *_PROPERTIES])}")

    def set_output_features_output_indices(self, out_features: Names, out_indices: Positions) -> None:
        """Sets both spellings at once; None for both is the last stage. Raises ContractError where they disagree, and
        where a model was built with other maps; the selection is then as before."""
        before = (self.given_features, self.given_indices)
        super().set_output_features_output_indices(out_features, out_indices)
        if self._models and self._decisive() != self._built:
            super().set_output_features_output_indices(*before)
            name = "out_features" if out_indices is None else "out_indices"
            raise self.refusal(name, out_features if out_indices is None else out_indices)

    def _decisive(self) -> Any:
        maps = self.selected if self.names_are_known else (self.given_features, self.given_indices)
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _OF_A_CALL}
        return plain_data({**own, "maps": maps})

    def __getattr__(self, name: str) -> Any:
        if name in SECOND_NAMES:
            return getattr(self, SECOND_NAMES[name])
        if not name.startswith("_") and name in vars(self).get("others", {}):
            return self.others[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}.")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.to_dict() == other.to_dict()  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


def add_properties(cls: type[SelectableConfig]) -> None:
    """A constructor's argument and a property of one name: the property can only be set after the fields are read."""
    for name, each in _PROPERTIES.items():
        setattr(cls, name, each)
