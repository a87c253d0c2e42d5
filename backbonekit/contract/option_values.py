"""Checks one value against the schema of its option and describes what is wrong with it."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from backbonekit.errors import nearest

Schema = Mapping[str, Any]
# Any plain data: scalars, lists of it, and mappings with text as keys. A minimum and a maximum hold for every number.
PLAIN_DATA: Schema = {}
MAX_TEXT = 1_000
MAX_ITEMS = 256  # of a list option; the deepest published backbone has 4 stages and a few dozen blocks
MAX_NUMBER = 1e9
_MAX_DEPTH = 16  # of plain data; the configurations of transformers nest 3 levels deep
_MAX_VALUES = 10_000  # of plain data, all levels together
_MAX_PLAIN_ITEMS = 1_000  # of one list or mapping in plain data
_WRITTEN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|true|false", re.IGNORECASE)  # a number or a truth value
_SHOWN_BITS = 128  # of a whole number in a message; Python itself refuses to print one of 4,300 digits


def faults_of(path: str, value: Any, schema: Schema) -> list[str]:
    """One message for each fault, none if the value is right. A tuple is right where a list is. Never raises."""
    if "anyOf" in schema:
        return _faults_of_choices(path, value, schema["anyOf"])
    if "enum" in schema:
        allowed = schema["enum"]
        if any(type(value) is type(choice) and value == choice for choice in allowed):
            return []
        hint = f"; {nearest(value, allowed)}" if isinstance(value, str) and len(value) <= MAX_TEXT else "."
        listed = ", ".join(map(str, allowed))
        return [f"{path}: given {shown(value)}, must be one of {listed}" + (hint if "mean" in hint else ".")]
    if "type" not in schema:
        return _faults_of_plain_data(path, value, schema)
    kind = schema["type"]
    if kind == "array" and isinstance(value, list | tuple):
        return _faults_of_array(path, value, schema)
    if kind == "object" and isinstance(value, Mapping):
        items = schema["additionalProperties"]
        return [fault for key, item in value.items() for fault in _faults_of_item(path, key, item, items)]
    if _has_type(value, kind) and _in_bounds(value, schema):
        return []
    return [f"{path}: given {shown(value)}, must be {described(schema)}.{_hint(value, kind)}"]


def coerced(value: Any, schema: Schema) -> Any:
    """A value that has no faults, in the type that a constructor's signature names: tuples, and floats for numbers."""
    if "anyOf" in schema:
        return coerced(value, next(choice for choice in schema["anyOf"] if not faults_of("", value, choice)))
    if "enum" in schema or "type" not in schema:
        return value
    if schema["type"] == "array":
        return tuple(coerced(item, schema["items"]) for item in value)
    return float(value) if schema["type"] == "number" else value


def described(schema: Schema) -> str:
    """A schema in words: "a whole number from 1 to 16,384"."""
    if "anyOf" in schema:
        return " or ".join(described(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "type" not in schema:
        return "plain data: a number, text, true, false, null, or a list or mapping of these"
    kind = schema["type"]
    if kind in ("integer", "number"):
        word = "a whole number" if kind == "integer" else "a number"
        if "minimum" not in schema:
            return word
        return f"{word} from {_counted(schema['minimum'])} to {_counted(schema['maximum'])}"
    if kind == "array":
        return f"a list of {_count_of(schema)}, each {described(schema['items'])}"
    return {"boolean": "true or false", "string": "text", "null": "null", "object": "a mapping"}[kind]


def _count_of(schema: Schema) -> str:
    least = schema.get("minItems", 0)
    values = "value" if least == 1 else "values"
    if not least:
        return values
    return f"{least} {values}" if schema.get("maxItems") == least else f"at least {least} {values}"


def shown(value: Any, *, quotes: bool = True, depth: int = 4) -> str:
    """A value for a message: one short line, control characters escaped, at most `depth` levels. Never raises."""
    if isinstance(value, str):
        text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in value[:100])
        text += "..." if len(value) > 100 else ""
        return repr(value) if quotes and text == value else f"'{text}'" if quotes else text
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:
        return f"a whole number of about {round(value.bit_length() * math.log10(2)):,} digits"
    if isinstance(value, list | tuple):
        items = [shown(item, depth=depth - 1) for item in value[:8]] if depth else ["..."]
        return f"[{', '.join(items)}{', ...' if len(value) > 8 and depth else ''}]"[:160]
    if isinstance(value, Mapping):
        items = [
            f"{shown(key, quotes=False, depth=0)}: {shown(item, depth=depth - 1)}"
            for key, item in (islice(value.items(), 8) if depth else ())
        ] or ["..."] * bool(value)
        return f"{{{', '.join(items)}{', ...' if len(value) > 8 and depth else ''}}}"[:160]
    try:
        return " ".join(repr(value).split())[:100]
    except Exception:  # a foreign class whose text cannot be made, or a set of long numbers
        return f"an object of class {type(value).__name__}"


def _faults_of_choices(path: str, value: Any, choices: Sequence[Schema]) -> list[str]:
    found = [faults_of(path, value, choice) for choice in choices]
    if any(not faults for faults in found):
        return []
    # Where one choice has the right kind (a list for a list), its own fault is clearer than all choices together.
    for choice, faults in zip(choices, found, strict=True):
        if choice.get("type") == "array" and isinstance(value, list | tuple):
            return faults
        if choice.get("type") == "object" and isinstance(value, Mapping):
            return faults
    allowed = " or ".join(described(choice) for choice in choices)
    return [f"{path}: given {shown(value)}, must be {allowed}.{_hint(value, choices[0].get('type', ''))}"]


def _faults_of_item(path: str, key: Any, item: Any, schema: Schema) -> list[str]:
    if not isinstance(key, str):
        return [f"{path}: the key {shown(key)} must be text."]
    return faults_of(f"{path}.{shown(key, quotes=False)}", item, schema)


def _faults_of_plain_data(path: str, value: Any, bounds: Schema) -> list[str]:
    """Walks through the value with a stack of its own, so that no depth ends in a RecursionError."""
    faults: list[str] = []
    waiting = [(path, value, 0)]
    num_values = 0
    while waiting:
        where, item, depth = waiting.pop()
        num_values += 1
        if num_values > _MAX_VALUES:
            return [*faults, f"{path}: given more than {_MAX_VALUES:,} values in all."]
        if isinstance(item, list | tuple | Mapping):
            if depth >= _MAX_DEPTH:
                faults.append(f"{path}: given lists or mappings nested more than {_MAX_DEPTH} levels deep.")
            elif len(item) > _MAX_PLAIN_ITEMS:
                faults.append(f"{where}: given {len(item):,} values, must be at most {_MAX_PLAIN_ITEMS:,}.")
            elif isinstance(item, Mapping):
                faults += [f"{where}: the key {shown(key)} must be text." for key in item if not isinstance(key, str)]
                entries = [(f"{where}.{shown(key, quotes=False)}", entry, depth + 1) for key, entry in item.items()]
                waiting += reversed(entries)
            else:
                waiting += reversed([(f"{where}.{index}", entry, depth + 1) for index, entry in enumerate(item)])
            continue
        if isinstance(item, str):
            allowed = None if len(item) <= MAX_TEXT else f"text of at most {MAX_TEXT:,} characters"
        elif item is None or isinstance(item, bool):
            allowed = None
        elif isinstance(item, int | float):
            number = {"minimum": -int(MAX_NUMBER), "maximum": int(MAX_NUMBER), **bounds, "type": "number"}
            allowed = None if _has_type(item, "number") and _in_bounds(item, number) else described(number)
        else:
            allowed = described(PLAIN_DATA)
        if allowed is not None:
            faults.append(f"{where}: given {shown(item)}, must be {allowed}.")
    return faults


def _faults_of_array(path: str, value: Sequence[Any], schema: Schema) -> list[str]:
    least, most = schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)
    if not least <= len(value) <= most:
        allowed = str(least) if least == most else f"{least} to {most}"
        return [f"{path}: given a list of {len(value)} values, must be one of {allowed}."]
    return [fault for index, item in enumerate(value) for fault in faults_of(f"{path}.{index}", item, schema["items"])]


def _has_type(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str) and len(value) <= MAX_TEXT
    if isinstance(value, bool):
        return False
    if kind == "integer":
        return isinstance(value, int)
    # An int has no largest value, and is compared with its bounds as it is: not every one fits into a float.
    return kind == "number" and (isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)))


def _in_bounds(value: Any, schema: Schema) -> bool:
    if schema["type"] not in ("integer", "number"):
        return True
    return schema.get("minimum", -MAX_NUMBER) <= value <= schema.get("maximum", MAX_NUMBER)


def _hint(value: Any, kind: str) -> str:
    if isinstance(value, str) and kind == "array" and value.lstrip().startswith(("[", "(")):
        return " It is text: write it in square brackets without quotes inside the value, such as [1,2]."
    if isinstance(value, str) and kind in ("integer", "number", "boolean") and _WRITTEN.fullmatch(value.strip()):
        return " It is text: write it without quotes."
    if isinstance(value, int | float) and not isinstance(value, bool) and kind == "array":
        return f" One value is a list too: {shown([value])}." if abs(value) <= MAX_NUMBER else ""
    return ""


def _counted(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
