"""Freezing: what it stops, what it leaves alone, and that it lasts."""

import copy
import pickle

import pytest
import torch
from torch import nn

from backbonekit.errors import ContractError
from backbonekit.training.freeze import freeze
from tests.fixed_weights import randomise_weights
from tests.training.models import BACKBONES, SIZE, WithHead, total, train_step


@pytest.mark.parametrize("name", BACKBONES)
def test_a_frozen_stage_does_not_change_and_the_rest_does(name):
    model = WithHead(BACKBONES[name]())
    names = list(model.state_dict())
    freeze(model.backbone, stages=3)
    assert list(model.state_dict()) == names
    stages = model.backbone.parameter_stages().positions
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        train_step(model)
    used = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    for key, value in model.state_dict().items():
        stage = stages.get(key.removeprefix("backbone."))
        if key.startswith("backbone.") and stage < 3:
            assert torch.equal(value, before[key]), f"{key} of stage {stage} changed"
            assert key not in used
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    for stage in range(3, max(stages.values()) + 1):
        assert any(stages.get(key.removeprefix("backbone.")) == stage for key in moved), f"stage {stage} did not learn"
    assert any(key.startswith("head.") for key in moved)
    assert "neck.1.running_mean" in moved


@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_stages_take_no_gradient_and_all_others_do(name):
    backbone = BACKBONES[name]()
    freeze(backbone, stages=2)
    stages = backbone.parameter_stages().positions
    backbone.eval()  # no dropped paths
    total(backbone(torch.randn(2, 3, *SIZE))).backward()
    for key, parameter in backbone.named_parameters():
        assert (parameter.grad is None) == (stages[key] < 2), key


@pytest.mark.parametrize("name", ["timm_resnet", "hf_resnet"])
def test_frozen_norms_keep_statistics_scale_and_shift(name):
    # a fresh residual network has norms of scale zero, and no gradient would pass through them
    model = randomise_weights(WithHead(BACKBONES[name]()))
    freeze(model.backbone, norms=True)
    norms = {
        f"backbone.{prefix}.{key}"
        for prefix, module in model.backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for key in module.state_dict()
    }
    before = copy.deepcopy(model.state_dict())
    train_step(model)
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert norms
    assert not moved & norms
    assert {key for key in before if key.startswith("backbone.") and "conv" in key} <= moved
    assert "neck.1.running_mean" in moved, "norms outside the backbone are not its business"


def test_norms_without_statistics_are_left_alone():
    backbone = BACKBONES["timm_convnext"]()
    freeze(backbone, norms=True)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_a_frozen_backbone_returns_the_same_maps_in_train_and_eval_mode(name):
    """Batch norm, dropout and dropped paths would all show."""
    backbone = BACKBONES[name]()
    freeze(backbone, stages=backbone.parameter_stages().count, norms=True)
    pixels = torch.randn(2, 3, *SIZE)
    trained, evaluated = backbone.train()(pixels), backbone.eval()(pixels)
    for one, other in zip(trained.maps, evaluated.maps, strict=True):
        assert torch.equal(one, other)


def test_lasts_through_train_of_the_model_around_it():
    model = WithHead(BACKBONES["timm_resnet"]())
    freeze(model, stages=2)  # a whole model will do
    for _ in range(2):
        model.train()
        assert not model.backbone.body.bn1.training
        assert not any(module.training for module in model.backbone.body.layer1.modules())
        assert all(module.training for module in model.backbone.body.layer2.modules())
        assert model.neck[1].training
        model.eval()
        assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_lasts_through_copies(copied):
    model = WithHead(BACKBONES["timm_resnet"]())
    freeze(model.backbone, stages=2)
    twin = copied(model)
    twin.train()
    assert not twin.backbone.body.layer1.training
    assert twin.backbone.body.layer2.training
    # the copy freezes itself, not the module that it was copied from
    assert twin.backbone.body.layer1.train.args[0] is twin.backbone.body.layer1


def test_a_second_call_freezes_more():
    backbone = BACKBONES["timm_resnet"]()
    freeze(backbone, stages=1)
    freeze(backbone, stages=2)
    freeze(backbone)
    assert not backbone.body.conv1.weight.requires_grad
    assert not backbone.body.layer1[0].conv1.weight.requires_grad
    assert backbone.body.layer2[0].conv1.weight.requires_grad


def test_a_frozen_model_compiles():
    backbone = BACKBONES["timm_resnet"]()
    freeze(backbone, stages=2, norms=True)
    backbone.eval()
    pixels = torch.randn(1, 3, *SIZE)
    torch._dynamo.reset()
    with torch.no_grad():
        expected = backbone(pixels).maps[-1]
        compiled = torch.compile(lambda given: backbone(given).maps[-1], fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(pixels), expected)


@pytest.mark.parametrize("stages", [-1, 6, 100])
def test_refuses_stages_that_are_not_there(stages):
    with pytest.raises(ContractError, match=f"stages={stages}; this backbone has 5 with the stem"):
        freeze(BACKBONES["timm_resnet"](), stages=stages)


@pytest.mark.parametrize("wrong", [nn.Linear(1, 1), nn.DataParallel(nn.Linear(1, 1))])
def test_refuses_what_is_no_backbone(wrong):
    with pytest.raises(ContractError, match=f"{type(wrong).__name__} is no backbone of backbonekit"):
        freeze(wrong, norms=True)
