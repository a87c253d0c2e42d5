"""Checks one value against the schema of its option and describes what is wrong with it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from backbonekit.errors import nearest

Schema = Mapping[str, Any]
MAX_TEXT = 1_000
MAX_ITEMS = 256  # of a list option; the deepest published backbone has 4 stages and a few dozen blocks
MAX_NUMBER = 1e9


def faults_of(path: str, value: Any, schema: Schema) -> list[str]:
    """Sentences, empty if the value is right."""
    if "anyOf" in schema:
        return _faults_of_choices(path, value, schema["anyOf"])
    if "enum" in schema:
        allowed = schema["enum"]
        if any(value == choice and type(value) is type(choice) for choice in allowed):
            return []
        hint = f"; {nearest(value, allowed)}" if isinstance(value, str) and len(value) <= MAX_TEXT else "."
        listed = ", ".join(map(str, allowed))
        return [f"{path}: given {shown(value)}, must be one of {listed}" + (hint if "mean" in hint else ".")]
    kind = schema["type"]
    if kind == "array" and isinstance(value, list):
        return _faults_of_array(path, value, schema)
    if kind == "object" and isinstance(value, dict):
        return [
            fault for key in value for fault in faults_of(f"{path}.{key}", value[key], schema["additionalProperties"])
        ]
    if _has_type(value, kind) and _in_bounds(value, schema):
        return []
    return [f"{path}: given {shown(value)}, must be {described(schema)}.{_hint(value, kind)}"]


def coerced(value: Any, schema: Schema) -> Any:
    """A value that has no faults, in the type that a constructor's signature names: tuples, and floats for numbers."""
    if "anyOf" in schema:
        return coerced(value, next(choice for choice in schema["anyOf"] if not faults_of("", value, choice)))
    if "enum" in schema:
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
    kind = schema["type"]
    if kind in ("integer", "number"):
        word = "a whole number" if kind == "integer" else "a number"
        if "minimum" not in schema:
            return word
        return f"{word} from {_counted(schema['minimum'])} to {_counted(schema['maximum'])}"
    if kind == "array":
        count = f"{schema['minItems']} values" if "minItems" in schema else "values"
        return f"a list of {count}, each {described(schema['items'])}"
    return {"boolean": "true or false", "string": "text", "null": "null", "object": "a mapping"}[kind]


def shown(value: Any, *, quotes: bool = True) -> str:
    """A value for a message: one short line, control characters escaped."""
    if isinstance(value, str):
        text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in value[:100])
        text += "..." if len(value) > 100 else ""
        return repr(value) if quotes and text == value else f"'{text}'" if quotes else text
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Sequence):
        items = [shown(item) for item in value[:8]]
        return f"[{', '.join(items)}{', ...' if len(value) > 8 else ''}]"[:160]
    if isinstance(value, Mapping):
        items = [f"{shown(key, quotes=False)}: {shown(item)}" for key, item in list(value.items())[:8]]
        return f"{{{', '.join(items)}{', ...' if len(value) > 8 else ''}}}"[:160]
    return repr(value)[:100]


def _faults_of_choices(path: str, value: Any, choices: Sequence[Schema]) -> list[str]:
    found = [faults_of(path, value, choice) for choice in choices]
    if any(not faults for faults in found):
        return []
    # Where one choice has the right kind (a list for a list), its own fault is clearer than all choices together.
    for choice, faults in zip(choices, found, strict=True):
        if choice.get("type") == "array" and isinstance(value, list):
            return faults
    wanted = " or ".join(described(choice) for choice in choices)
    return [f"{path}: given {shown(value)}, must be {wanted}.{_hint(value, choices[0].get('type', ''))}"]


def _faults_of_array(path: str, value: list[Any], schema: Schema) -> list[str]:
    least, most = schema.get("minItems", 0), schema.get("maxItems", MAX_ITEMS)
    if not least <= len(value) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        return [f"{path}: given a list of {len(value)} values, must be one of {wanted}."]
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
    return kind == "number" and isinstance(value, int | float) and math.isfinite(value)


def _in_bounds(value: Any, schema: Schema) -> bool:
    if schema["type"] not in ("integer", "number"):
        return True
    return schema.get("minimum", -MAX_NUMBER) <= value <= schema.get("maximum", MAX_NUMBER)


def _hint(value: Any, kind: str) -> str:
    if isinstance(value, str) and kind == "array" and value.lstrip().startswith(("[", "(")):
        return " It is text: write it in square brackets without quotes inside the value, such as [1,2]."
    if isinstance(value, str) and kind in ("integer", "number", "boolean"):
        return " It is text: write it without quotes."
    if isinstance(value, int | float) and not isinstance(value, bool) and kind == "array":
        return f" One value is a list too: [{value}]."
    return ""


def _counted(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
