"""Whatever is typed, saved or shared: a Recipe or a RecipeError, and never anything else."""

import string

import pytest
import yaml
from hypothesis import strategies as st

from backbonekit.recipe.compose import part_names
from backbonekit.recipe.validate import KEYS
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import config_families, config_fields, options, processing_fields
from tests.security import fuzzing
from tests.security.fuzz_actions import start
from tests.security.fuzzing import tries

EXAMPLES = max(fuzzing.EXAMPLES, 150)

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


@pytest.mark.parametrize("kind", ["overrides", "sweep"])
def test_overrides(kind):
    tries(kind, lambda draw: draw(st.lists(OVERRIDE, max_size=4)), EXAMPLES)


def test_mappings():
    mappings = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), PLAIN, max_size=6)
    tries("mapping", lambda draw: draw(mappings), EXAMPLES)


def test_a_recipe_with_one_thing_changed():
    def one_thing_changed(draw):
        mapping = start().to_dict()
        node = mapping
        while True:
            key = draw(st.sampled_from(sorted(node)))
            if not isinstance(node[key], dict) or not node[key] or draw(st.booleans()):
                break
            node = node[key]
        node[key] = draw(PLAIN)
        return mapping

    tries("mapping", one_thing_changed, EXAMPLES)


def test_bytes():
    texts = st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
    tries("yaml bytes", lambda draw: draw(st.binary(max_size=60) | texts).hex(), EXAMPLES)


def test_text_of_yamls_own_characters():
    texts = st.text(alphabet="ab: -[]{},&*!|>'\"#%@`\n\t?~<=.$0", max_size=60)
    tries("yaml text", lambda draw: draw(texts), EXAMPLES)


def test_what_yaml_writes():
    tries("yaml text", lambda draw: yaml.safe_dump({"a": draw(PLAIN)}, allow_unicode=True), EXAMPLES)


def test_names_of_recipes():
    tries("name", lambda draw: draw(st.text(max_size=40)), EXAMPLES // 2)


@pytest.mark.parametrize("folder", ["model", "model/backbone"])
def test_files_that_are_composed(folder):
    texts = st.text(alphabet="abdefnoprsultv: -[]{},_\n", max_size=80)
    tries("config folder", lambda draw: {"folder": folder, "text": draw(texts)}, EXAMPLES // 4)
