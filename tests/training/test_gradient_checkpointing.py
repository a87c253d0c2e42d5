"""Gradient checkpointing: blocks run twice, gradients stay the same."""

import copy

import pytest
import torch
from torch import nn

from backbonekit.errors import ContractError
from backbonekit.training.gradient_checkpointing import gradient_checkpointing
from tests.training.models import BACKBONES, SIZE, WithHead, total

# a module within a block of each
INNER = {
    "timm_resnet": "body.layer2.0.conv1",
    "timm_vit": "body.blocks.1.mlp.fc1",
    "timm_convnext": "body.stages.1.blocks.0.mlp.fc1",
    "timm_poolformer": "body.stages.1.blocks.0.mlp.fc1",
    "hf_resnet": "body.layer2.0.conv1",
    "hf_swin": "body.layers.1.blocks.0.mlp.fc1",
    "hf_dinov2": "body.blocks.1.mlp.fc1",
}


def runs_and_gradients(backbone, name, pixels):
    """How often a module within a block ran in one training step, and every gradient."""
    runs = []
    handle = backbone.get_submodule(INNER[name]).register_forward_hook(lambda *_: runs.append(1))
    backbone.zero_grad()
    total(backbone.train()(pixels)).backward()
    handle.remove()
    return len(runs), {
        key: parameter.grad.clone() for key, parameter in backbone.named_parameters() if parameter.grad is not None
    }


@pytest.mark.parametrize("name", BACKBONES)
def test_blocks_run_again_in_backward_and_gradients_stay_the_same(name):
    backbone = BACKBONES[name]()
    for module in backbone.modules():
        if "drop_prob" in vars(module):
            module.drop_prob = 0.0  # a dropped path is drawn anew in each forward
    pixels = torch.randn(2, 3, *SIZE)
    once, expected = runs_and_gradients(copy.deepcopy(backbone), name, pixels)
    gradient_checkpointing(WithHead(backbone))
    twice, given = runs_and_gradients(backbone, name, pixels)
    assert once == 1
    assert twice >= 2  # timm nests it in some architectures
    assert given.keys() == expected.keys()
    for key, gradient in given.items():
        torch.testing.assert_close(gradient, expected[key], rtol=1e-4, atol=1e-5)
    gradient_checkpointing(backbone, enabled=False)
    assert runs_and_gradients(backbone, name, pixels)[0] == 1


def test_refuses_what_is_no_backbone():
    with pytest.raises(ContractError, match="Linear is no backbone"):
        gradient_checkpointing(nn.Linear(1, 1))
