"""Reads YAML that is not trusted: limits are checked on the stream of events, before anything is constructed.

Scalars follow YAML 1.2: only true and false are booleans, `012`, `1:30`, `on` and `no` are what they look like.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from backbonekit.errors import RecipeError, StorageError
from backbonekit.weights.untrusted_files import beginning, user_path

MAX_BYTES = 1_048_576  # the names of ImageNet-21k's classes take about 500,000
MAX_EVENTS = 60_000  # two for each of its names would be 44,000
MAX_DEPTH = 16  # heads.task.head.criterion.option: 5
MAX_KEY = 200
# kind -> (pattern, first characters). Eighteen digits fit every number of a recipe; a longer one stays text and is
# refused by its type.
_PLAIN_SCALARS: dict[str, tuple[str, list[str]]] = {
    "int": (r"[-+]?(0|[1-9][0-9]{0,17})$", list("-+0123456789")),
    "float": (
        r"[-+]?([0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?$|[-+]?[0-9]{1,40}[eE][-+]?[0-9]{1,3}$",
        list("-+0123456789."),
    ),
    "bool": (r"(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "null": (r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml_file(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises RecipeError for what cannot be read, is no mapping or over a limit."""
    try:
        content = beginning(user_path(path), MAX_BYTES + 1)
    except StorageError as error:
        raise RecipeError(str(error)) from error
    return read_yaml(content, origin=str(path))


def read_yaml(content: bytes | str, *, origin: str = "the recipe") -> dict[str, Any]:
    """The mapping in a YAML text, as plain data. Raises RecipeError; nothing is constructed before every limit held."""
    text = _text(content, origin)
    try:
        _check_events(text, origin)
        data = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader with fewer types
    except yaml.YAMLError as error:
        where = _where(error)
        if "nesting depth" in where:  # newer builds of libyaml stop at 1,000 levels, before they return an event
            raise RecipeError(
                f"{_shown(origin)} is nested deeper than {MAX_DEPTH} levels, the limit of a recipe."
            ) from error
        raise RecipeError(f"{_shown(origin)} is no YAML: {where}.") from error
    except (ValueError, RecursionError, UnicodeError) as error:
        raise RecipeError(f"{_shown(origin)} is no YAML that a recipe can hold: {_shown(str(error))}.") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RecipeError(f"{_shown(origin)} must hold a mapping of keys to values, not {_kind(data)}.")
    return data


def plain_mapping(mapping: Any, *, origin: str = "the recipe") -> dict[str, Any]:
    """A mapping from Python (an OmegaConf node too) as plain data, within the same limits. Raises RecipeError."""
    try:
        data = _Copier(origin).copy(mapping, "", 0)
    except RecipeError:
        raise
    except Exception as error:  # a mapping of another library may raise any error when read (OmegaConf's `???` does)
        raise RecipeError(f"{_shown(origin)} could not be read: {_shown(str(error))}.") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{_shown(origin)} must be a mapping of keys to values, not {_kind(data)}.")
    return data


def _text(content: bytes | str, origin: str) -> str:
    if len(content) > MAX_BYTES:
        raise RecipeError(f"{_shown(origin)} is larger than {MAX_BYTES:,} bytes, the limit of a recipe.")
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecipeError(f"{_shown(origin)} is not written in UTF-8.") from error
    if "\0" in content:
        raise RecipeError(f"{_shown(origin)} holds a NUL character; it is no text (or written in UTF-16).")
    return content


def _check_events(text: str, origin: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER), 1):
        line = f"{_shown(origin)}, line {event.start_mark.line + 1}"
        if number > MAX_EVENTS:
            raise RecipeError(f"{line}: more than {MAX_EVENTS:,} values, the limit of a recipe.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise RecipeError(
                f"{line}: anchors and aliases (& and *) are not allowed in a recipe; write the value twice."
            )
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise RecipeError(f"{line}: the tag {_shown(event.tag)}: a recipe has plain values only.")
        if isinstance(event, yaml.DocumentStartEvent) and (event.tags or event.version):
            raise RecipeError(f"{line}: YAML directives are not allowed in a recipe.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise RecipeError(f"{line}: nested deeper than {MAX_DEPTH} levels, the limit of a recipe.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def add_plain_scalars(loader_or_dumper: Any) -> None:
    """Teaches a class of PyYAML's which plain scalars are numbers, booleans and null by YAML 1.2."""
    for kind, (pattern, first) in _PLAIN_SCALARS.items():
        loader_or_dumper.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(pattern), first)


class _PlainLoader(_LOADER):
    """SafeLoader with YAML 1.2's plain scalars, and keys that are text and unique. A whole number is the text of it."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = _text_key(self.construct_object(key_node, deep=True))
            if not isinstance(key, str):
                raise RecipeError(f"line {line}: the key {_shown(key)} is no text; write it in quotes.")
            if len(key) > MAX_KEY:
                raise RecipeError(f"line {line}: a key of {len(key)} characters; the limit is {MAX_KEY}.")
            if key in mapping:
                raise RecipeError(f"line {line}: the key {key!r} is given twice.")
            mapping[key] = self.construct_object(value_node, deep=True)
        return mapping


def _construct_map(loader: Any, node: Any) -> dict[str, Any]:
    return loader.construct_mapping(node, deep=True)


_PlainLoader.yaml_implicit_resolvers = {}
add_plain_scalars(_PlainLoader)
_PlainLoader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


class _Copier:
    """Copies to plain data and counts on the way."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.values = 0

    def copy(self, value: Any, path: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAX_EVENTS:
            raise RecipeError(f"{_shown(self.origin)} has more than {MAX_EVENTS:,} values, the limit of a recipe.")
        if depth > MAX_DEPTH:
            raise RecipeError(f"{_shown(self.origin)} is nested deeper than {MAX_DEPTH} levels, the limit of a recipe.")
        # Exact types: a subclass (numpy's float64 is one of float) may behave differently from what it shows.
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, Mapping):
            return dict(self._items(value, path, depth))
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            return [self.copy(item, f"{path}.{index}", depth + 1) for index, item in enumerate(value)]
        for base in (int, float, str):
            if isinstance(value, base):
                return base(value)
        where = path.lstrip(".") or self.origin
        raise RecipeError(f"{_shown(where)}: a recipe holds plain data, not {_kind(value)}.")

    def _items(self, mapping: Mapping[Any, Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if len({str(key) for key in mapping}) < len(mapping):
            raise RecipeError(f"{_shown(path.lstrip('.') or self.origin)}: a key is given as a number and as text.")
        for given, item in mapping.items():
            key = _text_key(given)
            if not isinstance(key, str):
                raise RecipeError(f"{_shown(path.lstrip('.') or self.origin)}: the key {_shown(key)} is no text.")
            if len(key) > MAX_KEY:
                raise RecipeError(f"{_shown(path.lstrip('.') or self.origin)}: a key of {len(key)} characters.")
            yield str(key), self.copy(item, f"{path}.{key}", depth + 1)


def _text_key(key: Any) -> Any:
    """A whole number as its text, such as the labels in `{0: ignore, 7: 1}`; every other key as it is."""
    return str(key) if type(key) is int and -(10**18) < key < 10**18 else key


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), f"an object of type {type(value).__name__}")


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{_shown(error.problem or 'a mistake')} in line {mark.line + 1}, column {mark.column + 1}"
    return _shown(str(error))


def _shown(value: Any) -> str:
    """For a message: short, one line, no control characters."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text[:200])
    return text[:120]
