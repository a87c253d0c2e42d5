"""Checks the values of a configuration dataclass against the types and bounds in its annotations."""

from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from backbonekit.contract.options import Range

_MAX_LENGTH = 256  # of a list field; the deepest published backbone has 4 stages


@cache
def field_types(config_class: type) -> dict[str, Any]:
    """Field name -> annotated type."""
    hints = get_type_hints(config_class, include_extras=True)
    return {item.name: hints[item.name] for item in fields(config_class)}


def coerced(name: str, value: Any, kind: Any) -> tuple[Any, str | None]:
    """The value in its field's type (a list becomes a tuple), and a sentence on what is wrong with it, or None."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *extras = get_args(kind)
        value, fault = coerced(name, value, inner)
        if fault is None and value is not None:
            fault = next((_outside(name, value, bound) for bound in extras if isinstance(bound, Range)), None)
        return value, fault
    if origin in (Union, UnionType):
        faults = []
        for option in get_args(kind):
            converted, fault = coerced(name, value, option)
            if fault is None:
                return converted, None
            faults.append(fault)
        return value, faults[0]
    if origin is Literal:
        allowed = get_args(kind)
        ok = any(value == option and type(value) is type(option) for option in allowed)
        return value, None if ok else f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}."
    if origin is tuple:
        return _sequence(name, value, get_args(kind))
    return _plain(name, value, kind)


def _sequence(name: str, value: Any, kinds: tuple[Any, ...]) -> tuple[Any, str | None]:
    if not isinstance(value, list | tuple):
        return value, f"{name} must be a list, got {value!r}."
    is_open = kinds[-1] is Ellipsis
    if len(value) > _MAX_LENGTH or (not is_open and len(value) != len(kinds)):
        wanted = f"at most {_MAX_LENGTH}" if is_open else str(len(kinds))
        return value, f"{name} must have {wanted} values, got {len(value)}."
    members = []
    for position, member in enumerate(value):
        converted, fault = coerced(f"{name}[{position}]", member, kinds[0] if is_open else kinds[position])
        if fault is not None:
            return value, fault
        members.append(converted)
    return tuple(members), None


def _plain(name: str, value: Any, kind: Any) -> tuple[Any, str | None]:
    if kind is float:
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        return (float(value), None) if ok else (value, f"{name} must be a number, got {value!r}.")
    if kind is int:
        ok = isinstance(value, int) and not isinstance(value, bool)
        return value, None if ok else f"{name} must be a whole number, got {value!r}."
    if kind is type(None):
        return value, None if value is None else f"{name} must be null, got {value!r}."
    word = {bool: "true or false", str: "a text"}[kind]
    return value, None if isinstance(value, kind) else f"{name} must be {word}, got {value!r}."


def _outside(name: str, value: float, bound: Range) -> str | None:
    # NaN is in no range.
    if bound.low <= value <= bound.high:
        return None
    return f"{name} must lie in [{bound.low:g}, {bound.high:g}], got {value!r}."
