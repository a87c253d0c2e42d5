import json

import pytest

from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.config_roots import shipped_root
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.json_schema import recipe_schema

SCHEMA = recipe_schema()
FILES = sorted((shipped_root().folder / "model").glob("*.yaml"))


def accepts(value, schema) -> bool:
    """The part of JSON Schema that is used here."""
    if "anyOf" in schema and not any(accepts(value, choice) for choice in schema["anyOf"]):
        return False
    if "not" in schema and accepts(value, schema["not"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "pattern" in schema and not str(value).startswith("${"):
        return False
    kind = schema.get("type")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        None: True,
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "integer": is_number and isinstance(value, int),
        "number": is_number,
    }[kind]
    if not right:
        return False
    if kind == "object":
        if any(key not in value for key in schema.get("required", [])):
            return False
        rest = schema.get("additionalProperties", True)
        return all(
            accepts(item, schema["properties"][key])
            if key in schema.get("properties", {})
            else rest is True or (rest is not False and accepts(item, rest))
            for key, item in value.items()
        )
    if kind == "array":
        return all(accepts(item, schema["items"]) for item in value)
    return not is_number or schema.get("minimum", value) <= value <= schema.get("maximum", value)


def test_it_is_json():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("name", model_names())
def test_flat_recipes_fit(name):
    assert accepts(compose_recipe(name).to_dict(), SCHEMA)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_that_inherit_fit(file):
    assert accepts(read_yaml_file(file), SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hed": {}},
        {"head": {"num_querys": 1}},
        {"head": {"name": "fcn", "num_queries": 1}},
        {"head": {"name": "fcn", "dropout": 2}},
        {"backbone": {"out_indicies": [1]}},
        {"backbone": {"config": {"model_type": "resnet", "depth": [1]}}},
        {"neck": [{"name": "fnp"}]},
        {"processing": {"size": 224}},
    ],
)
def test_mistakes_are_marked(wrong):
    assert not accepts(wrong, SCHEMA)


def test_references_and_parts_of_ones_own_are_no_mistakes():
    assert accepts({"head": {"channels": "${neck.channels}"}, "neck": "fpn"}, SCHEMA)
