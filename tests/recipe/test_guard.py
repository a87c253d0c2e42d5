import math
from collections import OrderedDict

import numpy as np
import pytest
from omegaconf import OmegaConf

from backbonekit.errors import RecipeError
from backbonekit.recipe.guard import MAX_BYTES, plain_mapping, read_yaml, read_yaml_file


def test_scalars_are_those_of_yaml_1_2():
    text = "a: no|b: on|c: 012|d: 1:30|e: 2024-01-01|f: 1e3|g: true|h: ~|i:|j: -7|k: .5|l: 1_000|m: 0x10|n: <<"
    assert read_yaml(text.replace("|", "\n")) == {
        "a": "no",
        "b": "on",
        "c": "012",
        "d": "1:30",
        "e": "2024-01-01",
        "f": 1000.0,
        "g": True,
        "h": None,
        "i": None,
        "j": -7,
        "k": 0.5,
        "l": "1_000",
        "m": "0x10",
        "n": "<<",
    }


def test_a_number_with_thousands_of_digits_stays_text():
    assert read_yaml("a: " + "9" * 5_000)["a"] == "9" * 5_000


def test_nothing_is_an_empty_recipe():
    assert read_yaml("# only a comment\n") == {}


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert read_yaml("\ufeffa: ä".encode()) == {"a": "ä"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a", "must hold a mapping .* not a list"),
        ("just text", "not text"),
        ("a: [1, 2", "is no YAML: .* in line"),
        ("a: 1\na: 2", "line 2: the key 'a' is given twice"),
        ("a: {b: 1, b: 2}", "given twice"),
        ("1.5: a", "the key 1.5 is no text"),
        ("? [a]\n: b", "is no text"),
        ("a: &x 1\nb: *x", "anchors and aliases"),
        ("a: &x [*x]", "anchors and aliases"),
        ("a: !!python/name:os.system", "the tag"),
        ("a: !!python/object/apply:os.system [ls]", "the tag"),
        ("a: !!binary aGk=", "the tag"),
        ("a: !!str 1", "the tag"),
        ("%YAML 1.1\n---\na: 1", "directives"),
        ("a: 1\n---\nb: 2", "is no YAML"),
        ("a: \0", "NUL"),
        ("a: 1".encode("utf-16"), "UTF-8"),
        ("a: \x07", "is no YAML"),
        (b"\xff\xfe", "UTF-8"),
        ("a: " + "x" * (MAX_BYTES + 1), "larger than"),
        ("a: " + "[" * 100_000, "nested deeper"),
        ("a: " + "{b: " * 100, "nested deeper"),
        ("a: [" + "1," * 100_000 + "]", "more than 60,000 values"),
        ("k" * 1_000 + ": 1", "a key of 1000 characters|is no YAML"),
    ],
)
def test_what_is_refused(content, message):
    with pytest.raises(RecipeError, match=message):
        read_yaml(content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match="does not exist"):
        read_yaml_file(tmp_path / "absent.yaml")
    with pytest.raises(RecipeError, match="is no regular file"):
        read_yaml_file(tmp_path)
    with pytest.raises(RecipeError, match="holds a NUL character"):
        read_yaml_file("a\0b")


def test_mappings_of_python_become_plain():
    class Text(str):
        __slots__ = ()

    mapping = OrderedDict(a=(1, 2), b=np.float64(0.5), c=OmegaConf.create({"d": [1, "${..e}"], "e": 7}), f=Text("x"))
    plain = plain_mapping(mapping)
    assert plain == {"a": [1, 2], "b": 0.5, "c": {"d": [1, 7], "e": 7}, "f": "x"}
    assert type(plain["b"]) is float
    assert type(plain["f"]) is str
    assert type(plain["c"]["d"]) is list


def endless():
    mapping = {}
    mapping["a"] = mapping
    return mapping


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (endless(), "nested deeper"),
        ({"a": {1, 2}}, "a: a recipe holds plain data, not an object of type set"),
        ({"a": {"b": print}}, r"a\.b: a recipe holds plain data"),
        ({"a": b"bytes"}, "plain data"),
        ({1.5: "a"}, "the key 1.5 is no text"),
        ({1: "a", "1": "b"}, "given as a number and as text"),
        (OmegaConf.create({"a": "???"}), "could not be read"),
        (OmegaConf.create({"a": "${b}"}), "could not be read"),
        ([1], "must be a mapping"),
        (None, "must be a mapping"),
        ({"a": list(range(70_000))}, "more than 60,000"),
    ],
)
def test_mappings_that_are_refused(mapping, message):
    with pytest.raises(RecipeError, match=message):
        plain_mapping(mapping)


def test_numbers_that_are_none_pass_and_are_refused_by_their_type():
    assert math.isnan(plain_mapping({"a": math.nan})["a"])
