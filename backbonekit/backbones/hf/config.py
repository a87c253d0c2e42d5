"""Base of the configuration classes: the fields of transformers' `config.json` that decide a backbone's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS, SELECTION_FIELDS, ignored_note
from backbonekit.contract.option_schema import schemas_of
from backbonekit.contract.option_values import coerced, faults_of
from backbonekit.errors import RecipeError

Config = TypeVar("Config", bound="ArchitectureConfig")


@dataclass(kw_only=True)
class ArchitectureConfig:
    """A dataclass with the fields and the defaults of one model type.

    Class attributes: `model_type`; `derived_fields`, which transformers computes or writes for other uses and which are
    skipped; `free_fields`, in which a build may differ from its checkpoint (rates for training, input sizes);
    `training_fields`, which a recipe may set beside the checkpoint's configuration; `dropouts`, which it may set too,
    with the points where each rate acts (`dropout.py`); `whole_fields`, which may be fractions, and which transformers
    reads as whole numbers alone; `second_names`, other names of fields, by which newer releases of transformers read a
    field and older ones read nothing.

    `notes`: which words of a `config.json` were ignored, where it was read from one.
    """

    model_type: ClassVar[str]
    derived_fields: ClassVar[frozenset[str]] = frozenset()
    free_fields: ClassVar[frozenset[str]] = frozenset()
    training_fields: ClassVar[frozenset[str]] = frozenset()
    whole_fields: ClassVar[frozenset[str]] = frozenset()
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    second_names: ClassVar[Mapping[str, str]] = {}
    notes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        faults = []
        for name, schema in schemas_of(type(self)).items():
            value = getattr(self, name)
            found = faults_of(f"{self.model_type} config: {name}", value, schema)
            faults += found
            if not found:
                setattr(self, name, coerced(value, schema))
        faults = faults or self._supported()
        if faults:
            raise RecipeError(faults)

    @classmethod
    def from_mapping(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
        """From the content of a `config.json`. Words that neither this class nor transformers reads are ignored, and
        `notes` lists them. Raises RecipeError."""
        known = {item.name for item in fields(cls)}
        faults = [
            f"{cls.model_type} config: {name}={str(mapping[name])[:60]} is read as {first} by some releases of"
            f" transformers and ignored by others. The fix: {first}."
            for name, first in cls.second_names.items()
            if name in mapping and mapping[name] != mapping.get(first)
        ]
        if faults:
            raise RecipeError(faults)
        config = cls(**{name: value for name, value in mapping.items() if name in known})
        object.__setattr__(config, "notes", cls.notes_on(mapping, f"{cls.model_type} config"))
        return config

    @classmethod
    def unknown_words(cls, mapping: Mapping[str, Any]) -> list[str]:
        """Names in a `config.json` that neither this class nor transformers gives a meaning to."""
        known = {item.name for item in fields(cls)}
        read = GENERIC_FIELDS | SELECTION_FIELDS | cls.derived_fields | known | cls.second_names.keys()
        return [name for name in mapping if name not in read]

    @classmethod
    def notes_on(cls, mapping: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """Which words of a `config.json` are ignored. `where`: how the note names it."""
        return ignored_note(where, cls.unknown_words(mapping), [item.name for item in fields(cls)])

    def to_mapping(self) -> dict[str, Any]:
        """Plain data, every field written out, in the form of a `config.json`."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {name: int(values[name]) for name in self.whole_fields if values[name] == int(values[name])}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"model_type": self.model_type, **plain}

    def differences(self, other: "ArchitectureConfig") -> list[str]:
        """Where another configuration describes other weights: one `field: ours here, theirs there` each."""
        assert type(self) is type(other)
        return [
            f"{item.name}: {getattr(self, item.name)!r} here, {getattr(other, item.name)!r} there"
            for item in fields(self)
            if item.name not in self.free_fields | self.dropouts.keys()
            and getattr(self, item.name) != getattr(other, item.name)
        ]

    @property
    def dropout_rates(self) -> dict[str, float]:
        """The value of each field in `dropouts`."""
        return {name: getattr(self, name) for name in self.dropouts}

    def _supported(self) -> list[str]:
        """A message for each value that is legal in transformers but not supported here. A family overrides it."""
        return []

    def _refusals(self, allowed: Mapping[str, Sequence[Any]]) -> list[str]:
        """A message for every field whose value is not among the allowed ones."""
        return [
            f"{self.model_type} config: {name}={getattr(self, name)!r} is not supported, only"
            f" {', '.join(repr(value) for value in values)}. Use source: transformers for it."
            for name, values in allowed.items()
            if getattr(self, name) not in values
        ]
