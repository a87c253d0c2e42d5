"""Whatever is typed, saved or shared: a Recipe or a RecipeError, and never anything else."""

import os
import string

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, part_names
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.sweep import expand_sweep
from backbonekit.recipe.validate import KEYS, recipe_from_mapping
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import config_families, config_fields, options, processing_fields

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))  # `make fuzz` tries thousands
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES < 1_000,  # the tests of every day are the same ones each time
)

START = compose_recipe("maskformer_resnet50")
OPTIONS = sorted(
    {key for kind in ("neck", "head", "criterion") for name in BUILTIN[kind] for key in options(kind, name)}
)
FIELDS = sorted({key for model_type in config_families() for key in config_fields(model_type)})
BACKBONE_KEYS = [
    "source",
    "name",
    "config",
    "pretrained",
    "revision",
    "out_indices",
    "out_strides",
    "in_channels",
    "args",
]
WORDS = [
    *(name for kind in BUILTIN for name in BUILTIN[kind]),
    *part_names("backbone"),
    *config_families(),
    *(
        "auto",
        "never",
        "null",
        "timm/resnet18",
        "microsoft/resnet-50",
        "stage1",
        "${head.channels}",
        "_target_",
        "model",
    ),
]
KEY = st.sampled_from(
    [*KEYS, *BACKBONE_KEYS, *OPTIONS, *FIELDS, *processing_fields(), "0", "1", "name", "things", "names"]
)
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=8), st.integers(0, 9)
)
PLAIN = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY | st.text(max_size=6), inner, max_size=5),
    max_leaves=12,
)


def value_text(value) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(value_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{value_text(item)}" for key, item in value.items()) + "}"
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if not isinstance(value, float)
        else str(value)
    )


OVERRIDE = st.one_of(
    st.builds(
        lambda prefix, keys, separator, value: f"{prefix}{separator.join(keys)}={value_text(value)}",
        st.sampled_from(["", "", "", "model.", "model/", "+", "++", "~"]),
        st.lists(KEY, min_size=1, max_size=4),
        st.sampled_from([".", ".", "/"]),
        PLAIN,
    ),
    st.builds(
        lambda key, value: f"{key}={value_text(value)}",
        st.sampled_from(
            ["backbone", "neck", "head", "heads", "labels", "processing", "head.criterion", "neck.0", "heads.a.head"]
        ),
        PLAIN,
    ),
    st.text(alphabet=string.printable, max_size=30),
    st.text(max_size=20).map(lambda text: f"head.num_classes={text}"),
)


def check(error: RecipeError) -> None:
    assert error.faults
    assert all(fault.strip() and "\x1b" not in fault for fault in error.faults)


def recipe_or_error(make):
    try:
        recipe = make()
    except RecipeError as error:
        check(error)
        return None
    assert isinstance(recipe, Recipe)
    again = recipe_from_mapping(read_yaml(dump_recipe(recipe)))
    assert again == recipe
    return recipe


@fuzz
@given(st.lists(OVERRIDE, max_size=4))
def test_overrides(overrides):
    recipe_or_error(lambda: compose_recipe(START, overrides))


@fuzz
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), PLAIN, max_size=6))
def test_mappings(mapping):
    recipe_or_error(lambda: recipe_from_mapping(mapping))
    recipe_or_error(lambda: compose_recipe(mapping))


@fuzz
@given(st.data())
def test_a_recipe_with_one_thing_changed(data):
    mapping = START.to_dict()
    node = mapping
    while True:
        key = data.draw(st.sampled_from(sorted(node)))
        if not isinstance(node[key], dict) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(PLAIN)
    recipe_or_error(lambda: recipe_from_mapping(mapping))
    recipe_or_error(lambda: compose_recipe(mapping, ["backbone=swin_tiny", "neck=fpn"]))


@fuzz
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes(content):
    recipe_or_error(lambda: recipe_from_mapping(read_yaml(content)))


@fuzz
@given(st.text(alphabet="ab: -[]{},&*!|>'\"#%@`\n\t?~<=.$0", max_size=60))
def test_text_of_yamls_own_characters(text):
    recipe_or_error(lambda: recipe_from_mapping(read_yaml(text)))


@fuzz
@given(PLAIN)
def test_what_yaml_writes_the_guard_reads(value):
    text = yaml.safe_dump({"a": value}, allow_unicode=True)
    try:
        read_yaml(text)
    except RecipeError as error:
        check(error)


@settings(fuzz, max_examples=60)
@given(st.text(max_size=40))
def test_names_of_recipes(name):
    recipe_or_error(lambda: compose_recipe(name))


@settings(fuzz, max_examples=60)
@given(st.lists(OVERRIDE, max_size=3))
def test_sweeps(overrides):
    try:
        jobs = expand_sweep(overrides)
    except RecipeError as error:
        check(error)
        return
    assert all(len(job) == len(overrides) for job in jobs)


@pytest.mark.parametrize("folder", ["model", "model/backbone"])
@settings(fuzz, max_examples=40)
@given(text=st.text(alphabet="abdefnoprsultv: -[]{},_\n", max_size=80))
def test_files_that_are_composed(folder, text, tmp_path_factory):
    root = tmp_path_factory.mktemp("configs")
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "x.yaml").write_text(text)
    model, overrides = ("x", []) if folder == "model" else ("features_swin_tiny", ["backbone=x"])
    recipe_or_error(lambda: compose_recipe(model, overrides, config_dir=root))
