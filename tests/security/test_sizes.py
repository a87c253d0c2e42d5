"""Architectures that grow beyond any machine: refused with the number and the limit, before the memory is taken."""

import time
from typing import Any

import pytest

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError
from backbonekit.weights import budget

RESNET = {"source": "timm", "name": "resnet18"}


def backbone(name: str, **args: Any) -> dict[str, Any]:
    return {"backbone": {"source": "timm", "name": name, "args": args}}


HUGE = {
    "layers in a list": (backbone("convnext_atto", depths=[10**9] * 4), "must be a number from -65,536 to 65,536"),
    "depth": (backbone("vit_tiny_patch16_224", depth=60_000), "more than 10,000 modules"),
    "four depths": (backbone("resnet18", layers=[60_000] * 4), "more than 10,000 modules"),
    "a table by loops": (backbone("maxvit_tiny_tf_224", img_size=16_000), "takes more than 4 seconds"),
    "many blocks": ({"backbone": RESNET, "neck": {"name": "hybrid_encoder", "num_blocks": 100_000}}, "must be|modules"),
    "wide and many": (
        {
            "backbone": RESNET,
            "neck": {"name": "hybrid_encoder"},
            "head": {"name": "d_fine", "num_classes": 100_000, "num_queries": 10_000, "channels": 16_384},
        },
        "more than 17,179,869,184 numbers",
    ),
}


@pytest.mark.parametrize(("recipe", "message"), HUGE.values(), ids=HUGE)
def test_architectures_over_the_budget(recipe: dict[str, Any], message: str):
    since = time.thread_time()
    with pytest.raises((RecipeError, ContractError), match=message):
        bk.build_model(recipe)
    assert time.thread_time() - since < 20  # 0.2 to 4 s here; without a bound, hours


def test_more_than_the_machine_has_free_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 50_000_000)
    built: list[str] = []
    monkeypatch.setattr("backbonekit.assembly.build._Builder.backbone", lambda self: built.append("backbone"))
    with pytest.raises(RecipeError, match=r"does not fit into memory: it takes .* GB or more, and 0.1 GB are free"):
        bk.build_model({"backbone": RESNET, "neck": {"name": "fpn", "channels": 2_048}})
    assert built == []


def test_a_backbone_stops_before_the_memory_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 20_000_000)
    with pytest.raises(RecipeError, match="does not fit into memory"):
        bk.build_model({"backbone": RESNET})
    monkeypatch.setattr(budget, "free_memory", lambda: 80_000_000)
    bk.build_model({"backbone": RESNET})


def test_only_the_caller_raises_the_budget():
    with budget.architecture_budget(modules=10), pytest.raises(RecipeError, match="more than 10 modules"):
        bk.build_model(backbone("resnet10t"))
    bk.build_model(backbone("resnet10t"))
    with pytest.raises(ValueError, match="at least 1 module"), budget.architecture_budget(modules=0):
        pass
