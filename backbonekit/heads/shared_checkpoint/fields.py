"""The fields of a `config.json` of transformers, written out as dataclasses, and how a file is read into them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, TypeVar, get_type_hints

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS, ignored_note
from backbonekit.contract.option_schema import Schema, plain, schema_of
from backbonekit.contract.option_values import coerced, faults_of

Fields = TypeVar("Fields", bound="ModelFields")

# How a model's configuration names its backbone; read by `nested_backbone.py` and not with the other fields.
BACKBONE_FIELDS = ("backbone_config", "backbone", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs")
_SHOWN = 60  # characters of a wrong value
_ONLY, _UNCHECKED = "only", "unchecked"


def only(value: Any, why: str) -> Any:
    """The default of a field that is supported with this value alone; `why`: the reason, for the error."""
    return field(default=value, metadata={_ONLY: why})


def unused(value: Any = None) -> Any:
    """The default of a field that changes no result, so that every value of it is accepted."""
    return field(default=value, metadata={_UNCHECKED: True})


def read_apart(value: Any = None) -> Any:
    """The default of a field with rules of its own, which the model's converter checks."""
    return field(default=value, metadata={_UNCHECKED: True})


@dataclass(kw_only=True)
class ModelFields:
    """Base of the dataclasses: one for each model type, with the names and the defaults of transformers' class.

    Types and bounds stand in the annotations. Class attributes: `second_names`, other names of fields, by which
    transformers knows them too; `ignored`, fields of other releases that change no result; `read_elsewhere`, fields
    that are not part of the dataclass and are read by other code.
    """

    second_names: ClassVar[Mapping[str, str]] = {}
    ignored: ClassVar[frozenset[str]] = frozenset()
    read_elsewhere: ClassVar[tuple[str, ...]] = BACKBONE_FIELDS

    @classmethod
    def read(cls: type[Fields], config: Mapping[str, Any], faults: list[str], *, path: str = "") -> Fields:
        """The content of a `config.json`. Whatever is wrong is added to `faults`, and has its default.

        `path`: where the mapping stands in its file, as messages name it. null stands for the default. Generic
        fields, such as the names of the classes, are passed over, and so are `unknown_words`.
        """
        known = {item.name: item for item in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in config.items():
            first = cls.second_names.get(name, name)
            if first in known and value is not None and (first == name or config.get(first) is None):
                values[first] = value
        read, wrong = _checked(cls, values, path)
        faults.extend(wrong)
        return cls(**read)

    @classmethod
    def unknown_words(cls, config: Mapping[str, Any]) -> list[str]:
        """Names in a `config.json` that neither this class nor transformers gives a meaning to."""
        known = {item.name for item in fields(cls)} | cls.second_names.keys()
        return [name for name in config if name not in known | cls.ignored | GENERIC_FIELDS | {*cls.read_elsewhere}]

    @classmethod
    def notes_on(cls, config: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """Which words of a `config.json` are ignored. `where`: how the note names it."""
        return ignored_note(where, cls.unknown_words(config), [item.name for item in fields(cls)])


def _checked(cls: type[ModelFields], values: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[str]]:
    """The values in the types of their fields, without those that are wrong; and what is wrong."""
    good: dict[str, Any] = {}
    faults: list[str] = []
    reasons: dict[str, str] = {item.name: item.metadata[_ONLY] for item in fields(cls) if _ONLY in item.metadata}
    defaults = {item.name: item.default for item in fields(cls)}
    schemas = _schemas(cls)
    for name, value in values.items():
        if name in reasons:
            if plain(value) != plain(defaults[name]):
                faults.append(unsupported(f"{path}{name}", value, reasons[name]))
        elif name not in schemas:
            good[name] = value
        elif wrong := faults_of(f"{path}{name}", plain(value), schemas[name]):
            faults.extend(wrong)
        else:
            good[name] = coerced(plain(value), schemas[name])
    return good, faults


def unsupported(name: str, value: Any, why: str) -> str:
    """The message about a value that is legal in transformers and not built here."""
    return f"{name}={repr(value)[:_SHOWN]} is not supported: {why}."


@cache
def _schemas(cls: type[ModelFields]) -> dict[str, Schema]:
    hints = get_type_hints(cls, include_extras=True)
    checked = [item.name for item in fields(cls) if not item.metadata]
    return {name: schema_of(hints[name]) for name in checked}
