"""A constructor's signature as plain data: each option's type as a JSON Schema, its default, and its description."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from backbonekit.contract.options import Length, Range

Schema = dict[str, Any]
_PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
}


def options_of(part: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """The keyword-only options of a part: name -> {"schema", "default" unless required, "doc"}, in signature order."""
    constructor = part.__init__ if inspect.isclass(part) else part
    hints = get_type_hints(constructor, include_extras=True)
    docs: dict[str, str] = {}
    for described in reversed(part.__mro__) if inspect.isclass(part) else (part,):  # a part may refine another one
        docs |= option_docs(inspect.cleandoc(described.__doc__ or ""))
    options = {}
    for name, parameter in inspect.signature(constructor).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        option: dict[str, Any] = {"schema": schema_of(hints[name])}
        if parameter.default is not parameter.empty:
            option["default"] = plain(parameter.default)
        options[name] = option | ({"doc": docs[name]} if name in docs else {})
    return options


def fields_of(dataclass: type) -> dict[str, dict[str, Any]]:
    """The fields of a dataclass, in the same form."""
    schemas = schemas_of(dataclass)
    docs = option_docs(inspect.getdoc(dataclass) or "")
    options = {}
    for item in fields(dataclass):
        option: dict[str, Any] = {"schema": schemas[item.name]}
        if item.default is not MISSING:
            option["default"] = plain(item.default)
        elif item.default_factory is not MISSING:
            option["default"] = plain(item.default_factory())
        options[item.name] = option | ({"doc": docs[item.name]} if item.name in docs else {})
    return options


@cache
def schemas_of(dataclass: type) -> Mapping[str, Schema]:
    """The schema of each field of a dataclass."""
    hints = get_type_hints(dataclass, include_extras=True)
    return {item.name: schema_of(hints[item.name]) for item in fields(dataclass)}


def schema_of(annotation: Any) -> Schema:
    """A type annotation as a JSON Schema. Raises TypeError for a type that YAML has no word for."""
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        bounds = next((extra for extra in arguments[1:] if isinstance(extra, Range)), None)
        length = next((extra for extra in arguments[1:] if isinstance(extra, Length)), None)
        schema = schema_of(arguments[0])
        if length is not None:
            schema["maxItems"] = length.most
        return schema if bounds is None else _bounded(schema, bounds)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin in (tuple, list, Sequence):
        return _array(origin, arguments)
    if origin in (dict, Mapping) and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    raise TypeError(f"an option of type {annotation} cannot be given in YAML")


def _bounded(schema: Schema, bounds: Range) -> Schema:
    """Every number of the schema within the bounds."""
    if "anyOf" in schema:
        return {"anyOf": [_bounded(choice, bounds) for choice in schema["anyOf"]]}
    if schema.get("type") not in ("integer", "number"):
        return schema
    return schema | {"minimum": _number(bounds.low), "maximum": _number(bounds.high)}


def _array(origin: Any, arguments: tuple[Any, ...]) -> Schema:
    if origin is not tuple or arguments[-1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0])}
    items = [schema_of(argument) for argument in arguments]
    if any(item != items[0] for item in items):
        raise TypeError(f"a tuple of different types cannot be given in YAML: {arguments}")
    return {"type": "array", "items": items[0], "minItems": len(items), "maxItems": len(items)}


def option_docs(docstring: str) -> dict[str, str]:
    """ "`channels`: width of ..." -> {"channels": "width of ..."}; "`a`, `b`: ..." describes both."""
    docs = {}
    for paragraph in re.split(r"\n\s*\n", docstring):
        starts = list(re.finditer(r"(?:^|(?<=[.;]\s)|(?<=\n))((?:`\w+`(?:,\s+|\s+and\s+)?)+):\s", paragraph))
        ends = [start.start() for start in starts[1:]] + [len(paragraph)]
        for start, end in zip(starts, ends, strict=False):
            description = re.sub(";$", ".", " ".join(paragraph[start.end() : end].split()))
            docs.update(dict.fromkeys(re.findall(r"`(\w+)`", start.group(1)), description))
    return docs


def plain(value: Any) -> Any:
    """Tuples as lists, for JSON and YAML."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value


def _number(bound: float) -> float | int:
    return int(bound) if float(bound).is_integer() else bound
