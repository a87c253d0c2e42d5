"""Architectures that grow beyond any machine: refused with the number and the limit, before the memory is taken."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

import backbonekit as bk
from backbonekit.backbones.hf.class_names import CLASS_NAMES
from backbonekit.errors import ContractError, RecipeError
from backbonekit.weights import budget
from backbonekit.weights.construct import shapes_alone

RESNET = {"source": "timm", "name": "resnet18"}


def backbone(name: str, **args: Any) -> dict[str, Any]:
    return {"backbone": {"source": "timm", "name": name, "args": args}}


HUGE = {
    "layers in a list": (backbone("convnext_atto", depths=[10**9] * 4), "must be a number from -65,536 to 65,536"),
    "depth": (backbone("vit_tiny_patch16_224", depth=60_000), "more than (5,000 modules|1.9 seconds)"),
    "four depths": (backbone("resnet18", layers=[60_000] * 4), "more than (5,000 modules|1.9 seconds)"),
    "a table by loops": (backbone("maxvit_tiny_tf_224", img_size=16_000), "takes more than 1\\.9 seconds"),
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
    assert time.thread_time() - since < 10  # 0.1 to 1.6 s here; without a bound, hours


def test_more_than_the_machine_has_free_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 50_000_000)
    built: list[str] = []
    monkeypatch.setattr("backbonekit.assembly.build._Builder.backbone", lambda self: built.append("backbone"))
    with pytest.raises(RecipeError, match=r"does not fit into memory: it takes .* GB, and 0.1 GB are free"):
        bk.build_model({"backbone": RESNET, "neck": {"name": "fpn", "channels": 2_048}})
    assert built == []


def test_a_backbone_is_counted_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budget, "free_memory", lambda: 20_000_000)
    with pytest.raises(RecipeError, match=r"it takes 0\.0 GB, and 0\.0 GB are free"):
        bk.build_model({"backbone": RESNET})
    monkeypatch.setattr(budget, "free_memory", lambda: 48_000_000)  # 44.8 MB
    bk.build_model({"backbone": RESNET})
    with torch.device("meta"):  # takes no memory
        monkeypatch.setattr(budget, "free_memory", lambda: 0)
        bk.ResNetBackbone(bk.ResNetConfig())


WIDE = {
    "resnet": {"hidden_sizes": [16_384] * 4, "depths": [2] * 4},
    "convnext": {"hidden_sizes": [16_384] * 4, "depths": [1] * 4},
    "dinov2": {"hidden_size": 16_384, "num_hidden_layers": 2, "num_attention_heads": 16},
    "swin": {"embed_dim": 2_048, "depths": [1] * 4, "num_heads": [1] * 4},
    "beit": {"hidden_size": 8_192, "num_hidden_layers": 2, "num_attention_heads": 16},
}


@pytest.mark.parametrize("model_type", WIDE)
def test_wide_backbones_are_refused_before_anything_is_allocated(model_type: str, monkeypatch: pytest.MonkeyPatch):
    """Each within the bounds of its fields, and 2 to 60 GB together."""
    config = {"model_type": model_type, **WIDE[model_type]}
    monkeypatch.setattr(budget, "free_memory", lambda: 1_000_000_000)
    monkeypatch.setattr(torch.nn.Parameter, "__new__", none_on_the_cpu(torch.nn.Parameter.__new__))
    message = r"does not fit into memory: it takes [\d.,]+ GB, and 1.0 GB are free"
    for source in ("hf", "transformers"):
        with pytest.raises(RecipeError, match=message):
            bk.build_model({"backbone": {"source": source, "config": config}})
    parsed = getattr(bk, f"{CLASS_NAMES[model_type]}Config").from_dict(config)
    with pytest.raises(RecipeError, match=message):
        bk.AutoBackbone.from_config(parsed)


def none_on_the_cpu(new: Callable[..., Any]) -> Callable[..., Any]:
    def checked(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
        assert data.is_meta, "a parameter was allocated"
        return new(cls, data, requires_grad)

    return checked


def test_a_limit_of_time_leaves_gradients_on():
    """It is met at the first call after a `torch.no_grad` block, never while that block ends."""
    with budget.architecture_budget(seconds=0.1), pytest.raises(RecipeError, match="more than"), shapes_alone():
        draw_too_long()
    assert torch.is_grad_enabled()


def draw_too_long():
    with torch.no_grad():
        start = time.thread_time()
        while time.thread_time() < start + 0.2:
            pass
    assert torch.is_grad_enabled()
    torch.zeros(1)


def test_only_the_caller_raises_the_budget():
    with budget.architecture_budget(modules=10), pytest.raises(RecipeError, match="more than 10 modules"):
        bk.build_model(backbone("resnet10t"))
    bk.build_model(backbone("resnet10t"))
    with budget.architecture_budget(seconds=0.001), pytest.raises(RecipeError, match=r"more than 0\.001 seconds"):
        bk.build_model(backbone("resnet10t"))
    for limits in ({"modules": 0}, {"numbers": 0}, {"seconds": 0}, {"seconds": float("nan")}):
        with pytest.raises(ValueError, match="at least 1 module"), budget.architecture_budget(**limits):
            pass
