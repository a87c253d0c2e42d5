"""Describing a model runs it and leaves it as it was."""

import torch

import backbonekit as bk
from backbonekit.assembly.describe import describe
from tests.assembly.recipes import CLASSIFICATION, RESNET


def test_every_module_is_in_its_own_mode_again():
    model = bk.build_model({"backbone": RESNET, "head": CLASSIFICATION}).train()
    model.backbone.eval()
    before = [module.training for module in model.modules()]
    describe(model, torch.randn(2, 3, 64, 64))
    assert model.training
    assert not model.backbone.training
    assert [module.training for module in model.modules()] == before
