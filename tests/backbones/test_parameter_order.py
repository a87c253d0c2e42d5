"""Layer and stage of each weight, of every kind of backbone, cut and whole."""

import pytest
import timm
import torch
from torch import nn

from backbonekit.backbones.parameter_order import body_layers, body_stages
from tests.training.models import BACKBONES

# stages with the stem, layers
COUNTS = {
    "timm_resnet": (5, 5),
    "timm_vit": (5, 5),
    "timm_convnext": (5, 6),
    "timm_poolformer": (5, 5),
    "hf_resnet": (5, 5),
    "hf_swin": (5, 6),
    "hf_dinov2": (4, 4),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_every_weight_has_a_stage_and_a_layer(name):
    backbone = BACKBONES[name]()
    stages, layers = backbone.parameter_stages(), backbone.parameter_layers()
    assert (stages.count, layers.count) == COUNTS[name]
    for order in (stages, layers):
        assert set(backbone.state_dict()) <= set(order.positions)
    assert set(stages.positions.values()) == set(range(stages.count))
    assert set(range(layers.count)) <= set(layers.positions.values()) <= set(range(layers.count + 1))
    assert all(backbone.stage_of(key) == stage for key, stage in stages.positions.items())


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stem_is_what_sees_the_pixels(name):
    backbone = BACKBONES[name]()
    first = next(key for key, parameter in backbone.named_parameters() if parameter.ndim == 4)
    for order in (backbone.parameter_stages(), backbone.parameter_layers()):
        assert order.positions[first] == 0


def test_stages_of_a_residual_network_are_its_layers():
    stages = BACKBONES["timm_resnet"]().parameter_stages().positions
    for stage in (1, 2, 3, 4):
        assert stages[f"body.layer{stage}.0.conv1.weight"] == stage
        assert stages[f"body.layer{stage}.0.bn2.running_mean"] == stage
    assert stages["body.conv1.weight"] == stages["body.bn1.running_var"] == 0


def test_stages_end_where_maps_are_taken_where_timm_groups_blocks():
    with torch.device("meta"):
        hiera = timm.create_model("hiera_tiny_224", num_classes=0)
    stages = body_stages(hiera)
    assert stages.count == 5
    assert [stages.positions[f"blocks.{block}.norm1.weight"] for block in range(12)] == [
        1,
        2,
        2,
        3,
        3,
        3,
        3,
        3,
        3,
        3,
        4,
        4,
    ]
    hiera.prune_intermediate_layers([0, 1], prune_head=True)
    stages = body_stages(hiera)
    assert stages.count == 3
    assert [stages.positions[f"blocks.{block}.norm1.weight"] for block in range(3)] == [1, 2, 2]


def test_what_stands_behind_all_blocks_is_not_of_the_last_block():
    with torch.device("meta"):
        model = timm.create_model("resnet18", num_classes=10)
    layers = body_layers(model)
    assert layers.count == 9
    assert layers.positions["layer4.1.bn2.weight"] == 8
    assert "fc.weight" not in layers.positions


def test_a_module_without_a_trunk_is_one_stage():
    stages = body_stages(nn.Linear(2, 2))
    assert (stages.positions, stages.count) == ({"weight": 0, "bias": 0}, 1)
