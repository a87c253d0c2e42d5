"""Recipes of many faults or long ones; all before torch."""

from functools import partial
from typing import Any

from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.validate import recipe_from_mapping
from tests.security.tried.harness import Attack

MANY = 14_000
BASE: dict[str, Any] = {
    "backbone": {"source": "timm", "name": "resnet18"},
    "neck": [{"name": "fpn_pixel_decoder"}],
    "head": {"name": "maskformer", "num_classes": 2},
}
FAMILY = {"source": "hf", "config": {"model_type": "swin"}}
NAMES = [f"class number {number}" for number in range(MANY)]
PART = {"name": "no such neck", "channels": "many"}


def _mapping(recipe: dict[str, Any]) -> Attack:
    return lambda folder: partial(recipe_from_mapping, recipe)


def _composed(recipe: dict[str, Any]) -> Attack:
    return lambda folder: partial(compose_recipe, recipe)


def _words(start: str, value: Any = 1) -> dict[str, Any]:
    return {f"{start}{number}": value for number in range(MANY)}


RECIPES: dict[str, dict[str, Any]] = {
    "labels: things are all names": {**BASE, "labels": {"names": NAMES, "things": NAMES}},
    "labels: 14,000 unknown things": {**BASE, "labels": {"names": NAMES, "things": [f"{name}?" for name in NAMES]}},
    "labels: 300 unknown things": {**BASE, "labels": {"names": NAMES, "things": [f"{name}?" for name in NAMES[:300]]}},
    "labels: 29,000 numbers": {**BASE, "labels": [1] * 29_000},
    "14,000 unknown keys": {**BASE, **_words("bockbone")},
    "14,000 unknown keys of the backbone": {**BASE, "backbone": {**BASE["backbone"], **_words("nome")}},
    "14,000 unknown keys of a configuration": {
        **BASE,
        "backbone": {"source": "hf", "config": {"model_type": "swin", **_words("wundow_size")}},
    },
    "14,000 unknown options of the head": {**BASE, "head": {**BASE["head"], **_words("num_query")}},
    "14,000 unknown options of the neck": {**BASE, "neck": [{"name": "fpn", **_words("chonnels")}]},
    "14,000 unknown args": {**BASE, "backbone": {**BASE["backbone"], "args": _words("depth")}},
    "14,000 unknown args of a family": {**BASE, "backbone": {**FAMILY, "args": _words("drop")}},
    "14,000 unknown keys of processing": {**BASE, "processing": _words("size")},
    "14,000 unknown keys of training": {**BASE, "training": _words("freeze")},
    "14,000 forbidden keys": {**BASE, "training": [{"_target_": "os.system"}] * MANY},
    "14,000 interpolations": {**BASE, "labels": ["${a}"] * MANY},
    "14,000 heads": {**BASE, "heads": {f"task{number}": {"head": {"name": "fcn"}} for number in range(MANY)}},
    "16 heads with necks of 10 unknown parts": {
        "backbone": BASE["backbone"],
        "heads": {f"t{number}": {"head": {"name": "x" * 150}, "neck": [PART] * 10} for number in range(16)},
    },
    "14,000 necks": {**BASE, "neck": [{"name": "fpn"}] * MANY},
    "a neck in a name of 1 MB": {**BASE, "neck": {"name": "x" * 10**6}},
    "a backbone in a name of 1 MB": {"backbone": {"name": "x" * 10**6}},
    "an option of 1 MB": {**BASE, "head": {"name": "fcn", "num_classes": "9" * 10**6}},
    "a number of 5,000 digits": {**BASE, "head": {"name": "fcn", "num_classes": 10**4_000}},
    "a real number of 5,000 digits": {**BASE, "head": {"name": "fcn", "dropout": 10**4_000}},
    "a loss weight of 5,000 digits": {**BASE, "heads": {"a": {"head": {"name": "fcn"}, "loss_weight": 10**4_000}}},
    "lists where names belong": {"backbone": {"name": [1]}, "neck": {"name": ["fpn"]}, "head": {"name": {"a": 1}}},
    "lists where texts belong": {**BASE, "adapt": ["auto"], "processing": {"interpolation": ["bilinear"]}},
    "a home of nobody": {"backbone": {"name": "~nobody/x"}},
    "NUL in a name": {"backbone": {"name": "a\0b"}},
    "a name longer than a file name": {"backbone": {"source": "hf", "name": "./" + "x" * 5_000}},
}


def prepare() -> None:
    """Reads the table of options."""
    compose_recipe("maskformer_resnet50", ["backbone=swin_tiny"])


ATTACKS: dict[str, Attack] = {
    **{name: _mapping(recipe) for name, recipe in RECIPES.items()},
    **{f"composed: {name}": _composed(recipe) for name, recipe in RECIPES.items()},
}
