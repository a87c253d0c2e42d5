import math

import pytest

from backbonekit.contract.option_values import PLAIN_DATA, coerced, described, faults_of, shown

WIDTH = {"type": "integer", "minimum": 1, "maximum": 16_384}
RATE = {"type": "number", "minimum": 0, "maximum": 1}
NORM = {"enum": ["batch", "group", "none"]}
SIZE = {"anyOf": [{"type": "array", "items": WIDTH, "minItems": 2, "maxItems": 2}, {"type": "null"}]}
STRIDES = {"type": "array", "items": WIDTH}


@pytest.mark.parametrize(
    ("value", "schema"),
    [(1, WIDTH), (16_384, WIDTH), (0, RATE), (0.5, RATE), ("batch", NORM), (None, SIZE), ([1, 2], SIZE), ([], STRIDES)],
)
def test_right(value, schema):
    assert faults_of("x", value, schema) == []


@pytest.mark.parametrize(
    ("value", "schema", "message"),
    [
        (0, WIDTH, "x: given 0, must be a whole number from 1 to 16,384."),
        (10**12, WIDTH, "x: given 1000000000000, must be a whole number from 1 to 16,384."),
        (1.0, WIDTH, "x: given 1.0, must be a whole number from 1 to 16,384."),
        (True, WIDTH, "x: given true, must be a whole number from 1 to 16,384."),
        ("7", WIDTH, "x: given '7', must be a whole number from 1 to 16,384. It is text: write it without quotes."),
        ("seven", WIDTH, "x: given 'seven', must be a whole number from 1 to 16,384."),
        (math.nan, RATE, "x: given nan, must be a number from 0 to 1."),
        (math.inf, RATE, "x: given inf, must be a number from 0 to 1."),
        (-0.1, RATE, "x: given -0.1, must be a number from 0 to 1."),
        ("batc", NORM, "x: given 'batc', must be one of batch, group, none; did you mean 'batch'?"),
        (1, NORM, "x: given 1, must be one of batch, group, none."),
        ([1], SIZE, "x: given a list of 1 values, must be one of 2."),
        ([1, 0], SIZE, "x.1: given 0, must be a whole number from 1 to 16,384."),
        (
            7,
            SIZE,
            "x: given 7, must be a list of 2 values, each a whole number from 1 to 16,384 or null. "
            "One value is a list too: [7].",
        ),
        (
            "[1,2]",
            STRIDES,
            "x: given '[1,2]', must be a list of values, each a whole number from 1 to 16,384. "
            "It is text: write it in square brackets without quotes inside the value, such as [1,2].",
        ),
    ],
)
def test_wrong(value, schema, message):
    assert faults_of("x", value, schema) == [message]


def test_a_list_has_an_end():
    assert faults_of("x", [1] * 300, STRIDES) == ["x: given a list of 300 values, must be one of 0 to 256."]


def test_values_become_what_the_signature_names():
    assert coerced([1, 2], SIZE) == (1, 2)
    assert coerced(None, SIZE) is None
    assert type(coerced(1, RATE)) is float
    assert coerced("batch", NORM) == "batch"


def test_described():
    assert described({"type": "object", "additionalProperties": WIDTH}) == "a mapping"
    assert described(SIZE) == "a list of 2 values, each a whole number from 1 to 16,384 or null"


def test_shown_is_short_and_harmless():
    assert shown("a\x1b[31m\u202eb\n") == "'a\\x1b[31m\\u202eb\\n'"
    assert len(shown("x" * 10_000)) < 110
    assert len(shown({"a" * 5_000: ["b" * 5_000] * 50})) < 200
    assert shown(None) == "null"
    assert shown([True, 1, "a"]) == "[true, 1, 'a']"


def test_tuples_are_lists():
    assert faults_of("x", (1, 2), SIZE) == []
    assert coerced((1, 2), SIZE) == (1, 2)
    assert faults_of("x", (1, 0), SIZE) == ["x.1: given 0, must be a whole number from 1 to 16,384."]


def nested(kind, depth=100_000):
    value = []
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def unprintable():
    class Unprintable:
        def __repr__(self):
            raise RuntimeError("no text")

    return Unprintable()


SCHEMAS = [WIDTH, RATE, NORM, SIZE, STRIDES, {"type": "string"}, {"type": "boolean"}, {"type": "number"}]
# A shared list at every level: 10^9 values that take no memory.
SHARED = [1]
for _ in range(9):
    SHARED = [SHARED] * 10


@pytest.mark.parametrize("schema", [*SCHEMAS, PLAIN_DATA, {"type": "object", "additionalProperties": PLAIN_DATA}])
@pytest.mark.parametrize(
    "value",
    [
        10**400,
        -(10**400),
        10**5_000,
        [10**5_000],
        {"a": 10**5_000},
        {10**5_000: 1},
        {10**5_000},
        math.nan,
        -math.inf,
        object(),
        unprintable(),
        nested(list),
        nested(dict),
        SHARED,
    ],
    ids=range(14),
)
def test_every_value_without_sense_is_a_fault(value, schema):
    found = faults_of("x", value, schema)
    assert found
    assert all(len(fault) < 400 for fault in found)


def test_an_empty_list_is_no_choice():
    assert faults_of("x", [], NORM) == ["x: given [], must be one of batch, group, none."]
    assert faults_of("x", {}, NORM) == ["x: given {}, must be one of batch, group, none."]


def test_plain_data():
    assert faults_of("x", {"a": [1, (2.5, None)], "b": {"c": True, "d": "text"}}, PLAIN_DATA) == []
    assert faults_of("x", [1] * 1_000, PLAIN_DATA) == []
    assert faults_of("x", [1] * 1_001, PLAIN_DATA) == ["x: given 1,001 values, must be at most 1,000."]
    assert faults_of("x", {1: 2}, PLAIN_DATA) == ["x: the key 1 must be text."]
    assert faults_of("x", nested(list), PLAIN_DATA) == ["x: given lists or mappings nested more than 16 levels deep."]
    assert faults_of("x", SHARED, PLAIN_DATA)[-1] == "x: given more than 10,000 values in all."
    assert faults_of("x", {"a": [0, 10**400]}, PLAIN_DATA) == [
        "x.a.1: given a whole number of about 400 digits, must be a number from -1,000,000,000 to 1,000,000,000."
    ]
    assert faults_of("x", [b""], PLAIN_DATA) == [
        "x.0: given b'', must be plain data: a number, text, true, false, null, or a list or mapping of these."
    ]


def test_plain_data_with_bounds():
    bounds = {"minimum": -8, "maximum": 8}
    assert faults_of("x", {"a": [8, "9"]}, bounds) == []
    assert faults_of("x", {"a": [9]}, bounds) == ["x.a.0: given 9, must be a number from -8 to 8."]


def test_long_numbers_are_shown_short():
    assert shown(10**12) == "1000000000000"
    assert shown(10**400) == "a whole number of about 400 digits"
    assert shown([10**5_000]) == "[a whole number of about 5,000 digits]"
    assert shown(unprintable()) == "an object of class Unprintable"
    assert shown(nested(list)) == "[[[[[...]]]]]"
