"""Where a weight stands: layers and stages of every kind of backbone, cut and whole."""

import pytest
import timm
import torch
from torch import nn

from backbonekit.training.layer_order import layers_of, stages_of
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
def test_every_weight_stands_somewhere(name):
    backbone = BACKBONES[name]()
    stages, stage_count = stages_of(backbone)
    layers, layer_count = layers_of(backbone)
    assert (stage_count, layer_count) == COUNTS[name]
    for places in (stages, layers):
        assert set(backbone.state_dict()) <= set(places)
    assert set(stages.values()) == set(range(stage_count))
    assert set(range(layer_count)) <= set(layers.values()) <= set(range(layer_count + 1))


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stem_is_what_sees_the_pixels(name):
    backbone = BACKBONES[name]()
    first = next(key for key, parameter in backbone.named_parameters() if parameter.ndim == 4)
    for places, _ in (stages_of(backbone), layers_of(backbone)):
        assert places[first] == 0


def test_stages_of_a_residual_network_are_its_layers():
    stages, _ = stages_of(BACKBONES["timm_resnet"]())
    for stage in (1, 2, 3, 4):
        assert stages[f"body.layer{stage}.0.conv1.weight"] == stage
        assert stages[f"body.layer{stage}.0.bn2.running_mean"] == stage
    assert stages["body.conv1.weight"] == stages["body.bn1.running_var"] == 0


def test_stages_end_where_maps_are_taken_where_timm_groups_blocks():
    with torch.device("meta"):
        hiera = timm.create_model("hiera_tiny_224", num_classes=0)
    stages, count = stages_of(hiera)
    assert count == 5
    assert [stages[f"blocks.{block}.norm1.weight"] for block in range(12)] == [1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 4, 4]
    hiera.prune_intermediate_layers([0, 1], prune_head=True)
    stages, count = stages_of(hiera)
    assert count == 3
    assert [stages[f"blocks.{block}.norm1.weight"] for block in range(3)] == [1, 2, 2]


def test_what_stands_behind_all_blocks_is_not_of_the_last_block():
    with torch.device("meta"):
        model = timm.create_model("resnet18", num_classes=10)
    layers, count = layers_of(model)
    assert count == 9
    assert layers["layer4.1.bn2.weight"] == 8
    assert layers["fc.weight"] == 9


def test_a_module_without_a_trunk_is_one_stage():
    stages, count = stages_of(nn.Linear(2, 2))
    assert (stages, count) == ({"weight": 0, "bias": 0}, 1)
