"""What is written is read: any recipe, as YAML and back, is the same recipe with the same bytes.

The values come from the option table, so a new part or option is tried without a word here.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, reject, strategies as st

from backbonekit.errors import RecipeError
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.validate import KEYS, recipe_from_mapping
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import config_families, config_fields, default_criterion, options, processing_fields
from tests.security.fuzzing import EXAMPLES, fuzz

TEXT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=9)
NAMES = TEXT | st.sampled_from(
    ["on", "no", "012", "1:30", "1e5", "null", "~", "a: b", "# c", "2024-01-01", "0x1", "- d"]
)
PARTS = [(kind, name) for kind in ("neck", "head", "criterion") for name in BUILTIN[kind]]
FEW = max(EXAMPLES // 5, 4)  # of each of some fifty parts
BACKBONE = {"source": "timm", "name": "resnet18"}


def of_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema of the option table allows."""
    if "anyOf" in schema:
        return st.one_of([of_schema(choice) for choice in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(low, high)
        case "number":
            odd = [value for value in (1e-05, 2.5e-7, 1e6, 1e20) if (low or 0) <= value <= (high or value)]
            return st.floats(low, high, allow_nan=False, allow_infinity=False) | st.sampled_from([*odd, low or 0.0])
        case "string":
            return NAMES
        case "array":
            most = min(schema.get("maxItems", 4), schema.get("minItems", 0) + 4)
            return st.lists(of_schema(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)
        case "object":
            return st.dictionaries(TEXT, of_schema(schema["additionalProperties"]), max_size=3)
    raise AssertionError(schema)


def part(kind: str, name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A part with some of its options, and those that have no default."""
    table = options(kind, name)
    assert table is not None
    needed = {option: of_schema(entry["schema"]) for option, entry in table.items() if "default" not in entry}
    others = {option: of_schema(entry["schema"]) for option, entry in table.items() if "default" in entry}
    return st.fixed_dictionaries({"name": st.just(name), **needed}, optional=others)


def same(mapping: Mapping[str, Any]) -> Recipe:
    """The recipe of a mapping, once it came back from YAML as the same one."""
    recipe = recipe_from_mapping(mapping)
    text = dump_recipe(recipe)
    again = recipe_from_mapping(read_yaml(text))
    assert again == recipe
    assert dump_recipe(again) == text
    assert yaml.safe_load(text) == read_yaml(text)  # readers of YAML 1.1 too
    return recipe


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_option_of_every_part(kind: str, name: str) -> None:
    @fuzz(FEW)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        drawn = data.draw(part(kind, name))
        if kind == "criterion":
            own = [head for head in BUILTIN["head"] if default_criterion(head) == name] or ["fcn"]
            classes = {"num_classes": 3} if "num_classes" in (options("head", own[0]) or {}) else {}
            head = {"name": own[0], **classes, "criterion": drawn}
            assert same({"backbone": BACKBONE, "head": head}).head.criterion.name == name
            return
        recipe = same({"backbone": BACKBONE, kind: drawn})
        read = recipe.neck[0] if kind == "neck" else recipe.head
        table = options(kind, name)
        assert table is not None
        assert set(read.options) == set(table)

    check()


@st.composite
def labels(draw: st.DrawFn) -> Any:
    names = draw(st.lists(NAMES, min_size=1, max_size=5))
    if draw(st.booleans()):
        return names
    ids = st.lists(st.integers(-9, 2**53), min_size=len(names), max_size=len(names), unique=True)
    things = st.lists(st.integers(0, len(names) - 1), max_size=3, unique=True)
    return {"names": names, **draw(st.fixed_dictionaries({}, optional={"things": things, "category_ids": ids}))}


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """One head, or several with necks, weights and labels of their own."""
    heads = st.sampled_from(["fcn", "detr", "retinanet", "segformer"]).flatmap(lambda name: part("head", name))
    necks = st.lists(st.sampled_from(BUILTIN_NECKS).flatmap(lambda name: part("neck", name)), max_size=2)
    if draw(st.booleans()):
        return {"neck": draw(necks) or None, "head": draw(st.none() | heads)}
    several = {}
    for name in draw(st.lists(st.sampled_from(["boxes", "pixels", "A_1"]), min_size=1, max_size=2, unique=True)):
        task: dict[str, Any] = {"head": draw(heads), "neck": draw(necks) or None}
        task["loss_weight"] = draw(st.floats(0, 1e6))
        own = draw(st.none() | labels())
        if own is not None:
            task["labels"] = own
            task["head"]["num_classes"] = len(own if isinstance(own, list) else own["names"])
        several[name] = task
    return {"heads": several, **({"neck": shared} if (shared := draw(necks)) else {})}


BUILTIN_NECKS = sorted(BUILTIN["neck"])


@st.composite
def backbones(draw: st.DrawFn) -> dict[str, Any]:
    maps = st.fixed_dictionaries({}) | st.one_of(
        st.fixed_dictionaries({"out_indices": st.lists(st.integers(-4, 9), min_size=1, max_size=4)}),
        st.fixed_dictionaries({"out_features": st.lists(TEXT, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"out_strides": st.lists(st.floats(1, 1024), min_size=1, max_size=3)}),
    )
    channels = draw(st.integers(1, 6))
    bands = st.lists(st.none() | st.integers(0, 9), min_size=channels, max_size=channels)
    chosen = {
        "pretrained": st.booleans() | st.just("owner/name"),
        "revision": st.none() | st.just("v1.0"),
        "bands_from": bands,
        "args": st.dictionaries(st.sampled_from(["drop_path_rate", "img_size"]), st.integers(0, 9) | st.floats(0, 1)),
    }
    common = {"in_channels": channels, **draw(st.fixed_dictionaries({}, optional=chosen)), **draw(maps)}
    if draw(st.booleans()):
        return {**BACKBONE, **common}
    family = draw(st.sampled_from(config_families()))
    fields = {name: of_schema(entry["schema"]) for name, entry in (config_fields(family) or {}).items()}
    picked = draw(st.lists(st.sampled_from(sorted(fields)), max_size=4, unique=True))
    return {"source": "hf", "config": {"model_type": family, **{name: draw(fields[name]) for name in picked}}, **common}


WHOLE = st.fixed_dictionaries(
    {"backbone": backbones(), "tasks": tasks()},
    optional={
        "labels": labels(),
        "processing": st.lists(st.sampled_from(sorted(processing_fields())), max_size=4, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({key: of_schema(processing_fields()[key]["schema"]) for key in names})
        ),
        "adapt": st.sampled_from(["auto", "never"]),
        "training": st.fixed_dictionaries(
            {}, optional={"freeze": st.fixed_dictionaries({"stages": st.integers(0, 1000), "norms": st.booleans()})}
        ),
    },
)


def test_whole_recipes() -> None:
    """Some are refused, such as a size together with an edge; the others come back."""
    seen: set[str] = set()
    count = {"accepted": 0, "refused": 0}

    @fuzz(max(EXAMPLES * 8, 200))
    @given(drawn=WHOLE)
    def check(drawn: dict[str, Any]) -> None:
        mapping = {**drawn, **drawn["tasks"]}
        del mapping["tasks"]
        try:
            recipe = recipe_from_mapping(mapping)
        except RecipeError:
            count["refused"] += 1
            reject()
        count["accepted"] += 1
        seen.update(key for key, value in recipe.to_dict().items() if value)
        assert same(mapping) == recipe

    check()
    assert count["accepted"] > count["refused"] / 4, count
    assert seen == set(KEYS)
