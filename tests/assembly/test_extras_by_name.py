"""A head reads another part's extra by its name: what a neck publishes beside its levels, whatever stands between."""

import pytest
import torch
from torch import nn

import backbonekit as bk
from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.predictions import ClassScores
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.registry import lookup
from tests.assembly.recipes import RESNET


class MemoryNeck(nn.Module):
    """Publishes `memory`, the mean of its deepest level."""

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1)

    def __init__(self, features: FeaturePyramid) -> None:
        super().__init__()
        deepest = features.levels[-1]
        self.features = FeaturePyramid(features.levels, {"memory": Level("memory", deepest.channels, deepest.stride)})

    def forward(self, maps: FeatureMaps, canvas) -> FeatureMaps:
        return FeatureMaps(maps.maps, {**maps.extras, "memory": maps.maps[-1] * 2})


class ForgetfulNeck(nn.Module):
    """Passes the levels on, and nothing beside them."""

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1)

    def __init__(self, features: FeaturePyramid) -> None:
        super().__init__()
        self.features = FeaturePyramid(features.levels)

    def forward(self, maps: FeatureMaps, canvas) -> FeatureMaps:
        return FeatureMaps(maps.maps)


class MemoryHead(nn.Module):
    """Classifies `memory` alone."""

    criterion = "cross_entropy"
    prediction = ClassScores
    scoring = "softmax"

    @classmethod
    def needs(cls, wanted: Requirement | None) -> Requirement:
        return Requirement(last=1, extras=("memory",))

    def __init__(self, features: FeaturePyramid, *, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(features.extras["memory"].channels, num_classes)

    def forward(self, maps: FeatureMaps, canvas, targets=None) -> ClassScores:
        return ClassScores(self.classifier(maps.extras["memory"].mean((2, 3))))


PARTS = {("neck", "memory_neck"): MemoryNeck, ("neck", "forgetful"): ForgetfulNeck, ("head", "memory_head"): MemoryHead}
HEAD = {"name": "memory_head", "num_classes": 3}


@pytest.fixture(autouse=True)
def known(request, monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {})
    for (kind, name), part in PARTS.items():
        if name not in getattr(request, "param", ()):
            bk.register(kind, name, part)


@pytest.mark.parametrize(
    "neck",
    ["memory_neck", ["memory_neck", "fpn"], ["channel_mapper", "memory_neck", "pafpn"], ["memory_neck", "ppm"]],
)
def test_it_is_read_whatever_stands_between(neck):
    model = bk.build_model({"backbone": RESNET, "neck": neck, "head": HEAD})
    values = torch.randn(1, 3, 64, 64)
    assert model(values).predictions.logits.shape == (1, 3)
    losses = model(values, targets=[{"class": torch.tensor(1)}]).losses
    losses["cross_entropy"].backward()
    assert model.head.classifier.weight.grad.any()


def test_a_shared_neck_publishes_it_for_one_of_several_tasks(tmp_path):
    heads = {"image": {"head": HEAD}, "pixels": {"head": {"name": "fcn", "num_classes": 2, "channels": 8}}}
    model = bk.build_model({"backbone": RESNET, "neck": ["fpn", "memory_neck"], "heads": heads})
    assert model(torch.randn(1, 3, 64, 64)).predictions["image"].logits.shape == (1, 3)
    opened = bk.load_model(model.save_pretrained(tmp_path / "m"))
    assert opened.recipe == model.recipe


def test_a_neck_that_publishes_it_is_named():
    with pytest.raises(ContractError, match=r"memory, which neck fpn does not return. The fix: neck=memory_neck"):
        bk.build_model({"backbone": RESNET, "neck": "fpn", "head": HEAD})


@pytest.mark.parametrize("known", [("memory_neck",)], indirect=True)
def test_nobody_publishes_it():
    with pytest.raises(ContractError, match=r"memory, which backbone resnet does not return. No known neck .*--import"):
        bk.build_model({"backbone": RESNET, "head": HEAD})


def test_a_neck_that_loses_it_is_named():
    with pytest.raises(ContractError, match="neck forgetful does not pass on: neck memory_neck returns memory"):
        bk.build_model({"backbone": RESNET, "neck": ["memory_neck", "forgetful"], "head": HEAD})
