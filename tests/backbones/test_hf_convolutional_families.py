"""The convolutional families of the transformers dialect under the tests that every backbone passes."""

from typing import Any

import pytest
import torch

from backbonekit.backbones.hf_source import blueprint
from backbonekit.errors import RecipeError
from tests.backbones.backbone_tester import BackboneTester


class TestConvNext(BackboneTester):
    source = "hf"
    config = {"model_type": "convnext", "hidden_sizes": [16, 24, 32, 40], "depths": [1, 2, 1, 1]}
    exports = True


class TestPlainConvNext(BackboneTester):
    source = "hf"
    config = {
        "model_type": "convnext",
        "hidden_sizes": [12, 20],
        "depths": [1, 2],
        "num_stages": 2,
        "patch_size": 2,
        "layer_scale_init_value": 0,
    }
    args = {"norm": "none", "drop_path_rate": 0.2}


class TestConvNextV2(BackboneTester):
    source = "hf"
    config = {"model_type": "convnextv2", "hidden_sizes": [12, 16, 24], "depths": [1, 2, 1], "num_stages": 3}


class TestDINOv3ConvNext(BackboneTester):
    source = "hf"
    config = {"model_type": "dinov3_convnext", "hidden_sizes": [12, 16, 24], "depths": [1, 2, 1]}


class TestRTDetrResNet(BackboneTester):
    source = "hf"
    config = {"model_type": "rt_detr_resnet", "embedding_size": 16, "hidden_sizes": [32, 64, 64], "depths": [1, 2, 1]}
    exports = True


class TestBasicRTDetrResNet(BackboneTester):
    source = "hf"
    config = {
        "model_type": "rt_detr_resnet",
        "embedding_size": 16,
        "hidden_sizes": [16, 24],
        "depths": [1, 2],
        "layer_type": "basic",
        "hidden_act": "silu",
    }


REFUSED = [
    ({"model_type": "convnext", "hidden_act": "gelu_10"}, "hidden_act='gelu_10' is not supported, only 'relu'"),
    ({"model_type": "convnext", "depths": [1, 1]}, "hidden_sizes has 4 values and depths 2; .* 4 stages"),
    ({"model_type": "convnext", "kernel_size": 5}, "the field 'kernel_size' is not supported"),
    ({"model_type": "convnextv2", "layer_scale_init_value": 1}, "'layer_scale_init_value' is not supported"),
    ({"model_type": "convnextv2", "num_stages": 3}, "one for each of 3 stages"),
    (
        {"model_type": "dinov3_convnext", "hidden_sizes": [8] * 5, "depths": [1] * 5},
        "each of 5 stages .*, of which there are at most 4",
    ),
    ({"model_type": "dinov3_convnext", "patch_size": 8}, "'patch_size' is not supported"),
    ({"model_type": "rt_detr_resnet", "layer_type": "basic"}, "need hidden_sizes\\[0\\] to be embedding_size=64"),
    ({"model_type": "rt_detr_resnet", "embedding_size": 33}, "must be even, got 33"),
    ({"model_type": "rt_detr_resnet", "depths": [1]}, "rt_detr_resnet config: hidden_sizes has 4 values and depths 1"),
    ({"model_type": "rt_detr_resnet", "hidden_act": "selu"}, "hidden_act='selu' is not supported"),
]


@pytest.mark.parametrize(("config", "sentence"), REFUSED)
def test_what_is_not_built_is_refused_by_name(config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        blueprint(None, config=config, revision=None, in_channels=3, args={})


def test_the_first_map_of_dinov3_convnext_is_the_picture() -> None:
    config = TestDINOv3ConvNext.config
    backbone = blueprint(None, config=config, revision=None, in_channels=5, args={}).construct([0])
    pixel_values = torch.randn(1, 5, 33, 20)
    assert torch.equal(backbone(pixel_values).maps[0], pixel_values)
    assert backbone.features.channels == (5,)
    assert not backbone.state_dict()
