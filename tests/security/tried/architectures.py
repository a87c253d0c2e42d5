"""Options that are each within their bounds and grow together: arguments of timm, and every part with each option at
its upper bound."""

from typing import Any

import backbonekit as bk
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.table import options
from backbonekit.weights import budget
from tests.security.tried.harness import Attack

FREE = 150_000_000  # bytes: the same answer on every machine

RESNET = {"source": "timm", "name": "resnet18"}
ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("vit_tiny_patch16_224", {"depth": 100_000}),
    ("vit_tiny_patch16_224", {"depth": 65_536}),
    ("vit_tiny_patch16_224", {"embed_dim": 65_536, "num_heads": 1}),
    ("vit_tiny_patch16_224", {"img_size": 16_384}),
    ("vit_tiny_patch16_224", {"patch_size": 1, "img_size": 16_384}),
    ("resnet18", {"layers": [100_000] * 4}),
    ("resnet18", {"layers": [10**9] * 4}),
    ("resnet18", {"layers": [65_536] * 4}),
    ("resnet18", {"layers": [1] * 60_000}),
    ("convnext_atto", {"depths": [100_000] * 4}),
    ("convnext_atto", {"depths": [65_536] * 4}),
    ("convnext_atto", {"dims": [65_536] * 4}),
    ("swin_tiny_patch4_window7_224", {"depths": [100_000] * 4}),
    ("swin_tiny_patch4_window7_224", {"depths": [65_536] * 4}),
    ("swin_tiny_patch4_window7_224", {"window_size": 16_384}),
    ("swin_tiny_patch4_window7_224", {"img_size": 16_384}),
    ("regnety_004", {"depth": 10**7}),
    ("regnety_004", {"depth": 65_536}),
    ("maxvit_tiny_tf_224", {"img_size": 16_000}),
]


def _timm(name: str, args: dict[str, Any]) -> Attack:
    recipe = {"backbone": {"source": "timm", "name": name, "args": args}}
    return lambda folder: lambda: bk.build_model(recipe)


def _part(kind: str, name: str, given: dict[str, Any]) -> Attack:
    part = {"name": name, **given}
    if kind == "head":
        part.setdefault("num_classes", 3)
        if "num_classes" not in options("head", name):
            del part["num_classes"]
    recipe = {"backbone": {**RESNET, "out_indices": [1, 2, 3, 4]}, kind: part}
    return lambda folder: lambda: bk.build_model(recipe)


def _largest(kind: str, name: str) -> dict[str, Any]:
    """The upper bound of each option that has one and is a whole number."""
    found = {}
    for option, described in options(kind, name).items():
        schema = described["schema"]
        if schema.get("type") == "integer" and "maximum" in schema:
            found[option] = schema["maximum"]
    return found


def _of(kind: str) -> dict[str, Attack]:
    attacks: dict[str, Attack] = {}
    for name in BUILTIN[kind]:
        largest = _largest(kind, name)
        attacks[f"{kind} {name}: all at once"] = _part(kind, name, largest)
        for option, value in largest.items():
            attacks[f"{kind} {name}: {option}={value}"] = _part(kind, name, {option: value})
    return attacks


def prepare() -> None:
    """Imports what is not to be measured."""
    bk.build_model({"backbone": RESNET, "head": {"name": "fcn", "num_classes": 2}})
    budget.free_memory = lambda: FREE


ATTACKS: dict[str, Attack] = {
    **{f"{name} {args}"[:80]: _timm(name, args) for name, args in ARGUMENTS},
    **_of("neck"),
    **_of("head"),
}
