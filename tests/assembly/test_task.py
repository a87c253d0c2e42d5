"""A task runs the modules that the model has now."""

import copy
import pickle

import pytest
import torch
from torch import nn

import backbonekit as bk
from tests.assembly.recipes import CLASSIFICATION, FCN, RESNET


class Wrapped(nn.Module):
    """As FSDP and peft wrap a module: another object under the same attribute."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.scoring = module.scoring
        self.count = 0

    def forward(self, *inputs):
        self.count += 1
        return self.module(*inputs)


def single():
    return bk.build_model({"backbone": RESNET, "head": CLASSIFICATION})


def several():
    return bk.build_model({"backbone": RESNET, "heads": {"seg": {"head": FCN}, "cls": {"head": CLASSIFICATION}}})


def test_a_head_that_was_replaced_is_the_one_that_runs():
    model = single()
    model.head = Wrapped(model.head)
    model(torch.randn(2, 3, 64, 64))
    assert model.head.count == 1
    assert model.scoring() == "softmax"


def test_a_head_of_several_that_was_replaced_is_the_one_that_runs():
    model = several()
    model.head["cls"] = Wrapped(model.head["cls"])
    model(torch.randn(2, 3, 64, 64))
    assert model.head["cls"].count == 1


@pytest.mark.parametrize("build", [single, several])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_runs_its_own_modules(build, copied):
    model = build()
    images = torch.randn(2, 3, 64, 64)
    name = next(reversed(model.tasks))
    before = _logits(model, images, name)
    other = copied(model)
    assert torch.equal(_logits(other, images, name), before)
    for parameter in other.head.parameters():
        nn.init.zeros_(parameter)
    assert not torch.equal(_logits(other, images, name), before)
    assert torch.equal(_logits(model, images, name), before)


def test_parameters_are_named_by_kind_and_task():
    assert {name.split(".")[0] for name in single().state_dict()} == {"backbone", "head"}
    names = {".".join(name.split(".")[:2]) for name in several().state_dict() if not name.startswith("backbone.")}
    assert names == {"head.seg", "head.cls"}


def _logits(model, images, task):
    with torch.no_grad():
        predictions = model(images).predictions
    return (predictions[task] if task else predictions).logits
