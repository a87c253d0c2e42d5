"""Base of the configuration classes: the fields of transformers' `config.json` that decide a backbone's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS, SELECTION_FIELDS
from backbonekit.contract.option_schema import schemas_of
from backbonekit.contract.option_values import coerced, faults_of
from backbonekit.errors import RecipeError, nearest

Config = TypeVar("Config", bound="ArchitectureConfig")


@dataclass(kw_only=True)
class ArchitectureConfig:
    """A dataclass with the fields and the defaults of one model type.

    Class attributes: `model_type`; `derived_fields`, which transformers computes or writes for other uses and which are
    skipped; `free_fields`, in which a build may differ from its checkpoint (rates for training, input sizes);
    `training_fields`, which a recipe may set beside the checkpoint's configuration; `whole_fields`, which may be
    fractions, and which transformers reads as whole numbers alone.
    """

    model_type: ClassVar[str]
    derived_fields: ClassVar[frozenset[str]] = frozenset()
    free_fields: ClassVar[frozenset[str]] = frozenset()
    training_fields: ClassVar[frozenset[str]] = frozenset()
    whole_fields: ClassVar[frozenset[str]] = frozenset()

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
        """From the content of a `config.json`. Raises RecipeError that names every field it does not know."""
        known = [item.name for item in fields(cls)]
        skipped = GENERIC_FIELDS | SELECTION_FIELDS | cls.derived_fields
        faults = [
            f"{cls.model_type} config: the field {name!r} is not supported; {nearest(str(name), known)}"
            f" If {cls.model_type} has such a field, use source: transformers."
            for name in mapping
            if name not in known and name not in skipped
        ]
        if faults:
            raise RecipeError(faults)
        return cls(**{name: value for name, value in mapping.items() if name in known})

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
            if item.name not in self.free_fields and getattr(self, item.name) != getattr(other, item.name)
        ]

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
