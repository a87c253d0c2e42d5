from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from backbonekit.contract.option_schema import fields_of, option_docs, options_of, schema_of
from backbonekit.contract.options import Channels, Probability, Range


class Part:
    """A part.

    `channels`: width; larger costs its square. `a`, `b`: two of a kind.
    `mode`: one of two.
    """

    def __init__(
        self,
        features: object,
        *,
        classes: int,
        channels: Channels = 256,
        a: float = 0.5,
        b: Probability = 0,
        mode: Literal["x", "y"] = "x",
        strides: tuple[int, ...] = (4, 8),
    ) -> None:
        pass


def test_a_signature_as_data():
    options = options_of(Part)
    assert list(options) == ["classes", "channels", "a", "b", "mode", "strides"]
    assert "default" not in options["classes"]
    assert options["channels"] == {
        "schema": {"type": "integer", "minimum": 1, "maximum": 16_384},
        "default": 256,
        "doc": "width; larger costs its square.",
    }
    assert options["a"]["doc"] == options["b"]["doc"] == "two of a kind."
    assert options["mode"]["schema"] == {"enum": ["x", "y"]}
    assert options["strides"]["default"] == [4, 8]


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (bool, {"type": "boolean"}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Annotated[float, Range(0.5, 2)], {"type": "number", "minimum": 0.5, "maximum": 2}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (Sequence[float], {"type": "array", "items": {"type": "number"}}),
        (
            Annotated[int | None, Range(1, 2)],
            {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 2}, {"type": "null"}]},
        ),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
)
def test_types(annotation, schema):
    assert schema_of(annotation) == schema


@pytest.mark.parametrize("annotation", [object, tuple[int, str], dict[int, str], type])
def test_types_that_no_yaml_can_say(annotation):
    with pytest.raises((TypeError, KeyError)):
        schema_of(annotation)


def test_dataclass_fields():
    @dataclass
    class Config:
        depths: list[int] = field(default_factory=lambda: [2, 2])
        name: str = "x"

    assert fields_of(Config) == {
        "depths": {"schema": {"type": "array", "items": {"type": "integer"}}, "default": [2, 2]},
        "name": {"schema": {"type": "string"}, "default": "x"},
    }


def test_docs_end_where_the_next_begins():
    docs = option_docs("What it is.\n\n`a`: one; `of b` is\nmeant. `c` is no start. `d`: two;\n`e`: three.\n\nMore.")
    assert docs == {"a": "one; `of b` is meant. `c` is no start.", "d": "two.", "e": "three."}
