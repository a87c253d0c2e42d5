"""Makes the option table from the parts themselves: the only file of this package that imports them."""

import inspect
import json
import re
from typing import Any

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.contract.option_schema import Schema, fields_of, options_of
from backbonekit.contract.processing import Processing
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import resolve

_EDGE = {"minimum": 1, "maximum": 16_384}  # pixels; the largest images in use are 8K, 7,680 wide
# What the contract's dataclass leaves open: a recipe must not set an image size without a limit.
_PROCESSING_BOUNDS: dict[str, Schema] = {
    "size": _EDGE,
    "shortest_edge": _EDGE,
    "longest_edge": _EDGE,
    "size_divisor": {"minimum": 1, "maximum": 1_024},
    "multiple_of": {"minimum": 1, "maximum": 1_024},
    "crop": _EDGE,
    "mean": {"minimum": -1_000, "maximum": 1_000},
    "std": {"minimum": 1e-6, "maximum": 1_000},
    "canvas": _EDGE,
}


def table_text() -> str:
    """The table as the text of its file."""
    return json.dumps(table(), indent=1, ensure_ascii=False) + "\n"


def table() -> dict[str, Any]:
    families = {model_type: fields_of(family(model_type).config_class) for model_type in sorted(model_types())}
    derived = {
        model_type: sorted(family(model_type).config_class.derived_fields) for model_type in sorted(model_types())
    }
    return {
        **{kind: {name: _part(kind, name) for name in BUILTIN[kind]} for kind in ("neck", "head", "criterion")},
        "config": {"families": families, "ignored": sorted(GENERIC_FIELDS), "derived": derived},
        "processing": _processing(),
    }


def _part(kind: str, name: str) -> dict[str, Any]:
    part = resolve(kind, name)
    options = options_of(part)
    if kind == "criterion":
        options.pop("num_classes", None)  # wiring passes on the head's
    entry: dict[str, Any] = {"doc": _first_sentence(inspect.getdoc(part) or ""), "options": options}
    return entry | {"criterion": part.criterion} if kind == "head" else entry


def _first_sentence(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[.;])\s", text)[0]


def _processing() -> dict[str, dict[str, Any]]:
    options = fields_of(Processing)
    for name, bounds in _PROCESSING_BOUNDS.items():
        options[name]["schema"] = _bounded(options[name]["schema"], bounds)
    return options


def _bounded(schema: Schema, bounds: Schema) -> Schema:
    if "anyOf" in schema:
        return {"anyOf": [_bounded(choice, bounds) for choice in schema["anyOf"]]}
    if schema["type"] == "array":
        return schema | {"items": _bounded(schema["items"], bounds)}
    return schema | bounds if schema["type"] in ("integer", "number") else schema
