import pytest

from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.registry import lookup, table
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.write_table import table_text

PARTS = [(kind, name) for kind in table.WITH_OPTIONS for name in BUILTIN[kind]]


def test_the_file_is_what_the_signatures_say():
    assert table.FILE.read_text() == table_text(), "stale: run `python -m backbonekit.registry.table`"


def numbers(schema):
    if "anyOf" in schema:
        return [number for choice in schema["anyOf"] for number in numbers(choice)]
    if schema.get("type") == "array":
        return numbers(schema["items"])
    return [schema] if schema.get("type") in ("integer", "number") else []


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_number_has_bounds(kind, name):
    options = table.options(kind, name)
    assert options is not None
    unbounded = [
        key for key, option in options.items() for number in numbers(option["schema"]) if "maximum" not in number
    ]
    assert not unbounded


@pytest.mark.parametrize("model_type", table.config_families())
def test_every_number_of_a_configuration_has_bounds(model_type):
    fields = table.config_fields(model_type)
    assert fields is not None
    assert not [key for key, item in fields.items() for number in numbers(item["schema"]) if "maximum" not in number]


def test_every_number_of_processing_has_bounds():
    fields = table.processing_fields()
    assert not [key for key, item in fields.items() for number in numbers(item["schema"]) if "maximum" not in number]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_part_has_a_description(kind, name):
    assert len(table.summary(kind, name)) > 20


def test_families_are_those_of_the_backbones():
    assert set(table.config_families()) == set(model_types())
    for model_type in model_types():
        fields = table.config_fields(model_type)
        assert fields is not None
        assert family(model_type).config_class().to_mapping() == {
            "model_type": model_type,
            **{key: item["default"] for key, item in fields.items()},
        }


def test_heads_name_criteria_that_are_there():
    for name in BUILTIN["head"]:
        if name in ("faster_rcnn", "mask_rcnn"):  # their losses are part of their forward
            assert table.default_criterion(name) is None
        else:
            assert table.default_criterion(name) in BUILTIN["criterion"]


def test_a_registered_class_is_read_on_the_spot(monkeypatch):
    class MyHead:
        criterion = "cross_entropy"

        def __init__(self, features: object, *, num_classes: int, width: int = 3) -> None:
            pass

    monkeypatch.setattr(lookup, "_REGISTERED", {("head", "mine"): MyHead})
    options = table.options("head", "mine")
    assert options is not None
    assert list(options) == ["num_classes", "width"]
    assert table.default_criterion("mine") == "cross_entropy"


def test_what_is_not_imported_yet_has_no_options(monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {("head", "late"): "somewhere:Head"})
    assert table.options("head", "late") is None
    assert table.default_criterion("late") is None
