"""A JSON Schema of recipe files, made from the option table, for completion and marked errors in editors.

A file may be partial (it inherits by `defaults`), so nothing is required. To use it, the first line of a YAML file is

    # yaml-language-server: $schema=PATH

and `python -m backbonekit.recipe.json_schema > PATH` writes it.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

from backbonekit.contract.processing import OF_TARGETS
from backbonekit.errors import RecipeError
from backbonekit.recipe.recipe import SCHEMA_VERSION
from backbonekit.registry.lookup import names
from backbonekit.registry.table import Options, config_families, config_fields, options, processing_fields, summary

Schema = dict[str, Any]
_REFERENCE: Schema = {"type": "string", "pattern": r"^\$\{[A-Za-z_][\w.]*\}$"}
_NULL: Schema = {"type": "null"}
_TEXT: Schema = {"type": "string"}


def recipe_schema() -> Schema:
    """The schema of a recipe or of a file that inherits from one."""
    heads = _part("head")
    neck: Schema = {"anyOf": [_NULL, _part("neck"), {"type": "array", "items": _part("neck")}]}
    labels: Schema = {"anyOf": [_NULL, {"type": "array", "items": _TEXT}, _labels()]}
    processing = processing_fields()
    task = _object(
        {
            "head": heads,
            "neck": neck,
            "loss_weight": {"type": "number", "minimum": 0},
            "labels": labels,
            "processing": _options({name: processing[name] for name in OF_TARGETS}),
        }
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backbonekit recipe",
        **_object(
            {
                "schema_version": {"const": SCHEMA_VERSION},
                "defaults": {"type": "array", "items": {"anyOf": [_TEXT, {"type": "object", "maxProperties": 1}]}},
                "backbone": _backbone(),
                "neck": neck,
                "head": {"anyOf": [_NULL, heads]},
                "heads": {"type": "object", "additionalProperties": task},
                "labels": labels,
                "processing": _options(processing),
                "adapt": {"enum": ["auto", "never"]},
                "training": _object({"freeze": _object({"stages": {"type": "integer"}, "norms": {"type": "boolean"}})}),
            }
        ),
    }


def _backbone() -> Schema:
    indices: Schema = {"type": "array", "items": {"type": "integer"}}
    return _object(
        {
            "source": {"enum": list(names("backbone"))},
            "name": {"anyOf": [_TEXT, _NULL], "description": "Hub id, local folder, or timm architecture"},
            "config": {"anyOf": [_NULL, *(_config(model_type) for model_type in config_families()), _other_config()]},
            "pretrained": {"anyOf": [{"type": "boolean"}, _TEXT], "description": "or a folder, file or Hub id"},
            "revision": {"anyOf": [_TEXT, _NULL]},
            "out_indices": {"anyOf": [{"const": "auto"}, {"type": "integer"}, indices]},
            "out_features": {"type": "array", "items": _TEXT},
            "out_strides": {"type": "array", "items": {"type": "number"}},
            "in_channels": {"type": "integer", "minimum": 1},
            "bands_from": {
                "anyOf": [{"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 0}, _NULL]}}, _NULL],
                "description": "the pretrained channel that each band starts from; null: their mean",
            },
            "args": {"type": "object", "description": "the architecture's own arguments"},
        }
    )


def _other_config() -> Schema:
    """Of families that only the transformers source builds; its fields are known once that library is imported."""
    other: Schema = {"type": "string", "not": {"enum": list(config_families())}}
    return {"type": "object", "properties": {"model_type": other}, "required": ["model_type"]}


def _config(model_type: str) -> Schema:
    fields = config_fields(model_type)
    assert fields is not None
    schema = _options(fields)
    schema["properties"] = {"model_type": {"const": model_type}, **schema["properties"]}
    return schema


def _part(kind: str) -> Schema:
    """One of the parts, identified by its name; a name alone is the part with its defaults.

    No name is required: a file that inherits its part has only what differs.
    """
    known = [name for name in names(kind) if _known_options(kind, name) is not None]
    others = [name for name in names(kind) if name not in known]
    choices = [_named(kind, name) for name in known]
    if others:
        choices.append({"type": "object", "properties": {"name": {"enum": others}}})
    return {"anyOf": [{"enum": list(names(kind))}, *choices]}


def _named(kind: str, name: str) -> Schema:
    found = _known_options(kind, name)
    assert found is not None
    schema = _options(found)
    schema["properties"] = {"name": {"const": name, "description": summary(kind, name)}, **schema["properties"]}
    if kind == "head":
        schema["properties"]["criterion"] = {"anyOf": [_NULL, _part("criterion")]}
    return schema


def _known_options(kind: str, name: str) -> Options | None:
    try:
        return options(kind, name)
    except RecipeError:
        return None


def _labels() -> Schema:
    names_or_numbers: Schema = {"type": "array", "items": {"anyOf": [_TEXT, {"type": "integer"}]}}
    ids: Schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    return _object({"names": {"type": "array", "items": _TEXT}, "things": names_or_numbers, "category_ids": ids})


def _options(table: Options) -> Schema:
    properties = {}
    for name, option in table.items():
        entry: Schema = {"anyOf": [*_choices(option["schema"]), _REFERENCE]}
        if "doc" in option:
            entry["description"] = option["doc"]
        if "default" in option:
            entry["default"] = option["default"]
        properties[name] = entry
    return _object(properties)


def _choices(schema: Any) -> Iterable[Any]:
    return schema.get("anyOf", [schema])


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(recipe_schema(), indent=1, ensure_ascii=False) + "\n")
