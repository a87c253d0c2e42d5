"""The convolutional families of transformers under the tests that every backbone passes."""

from typing import Any

import pytest
import torch

from backbonekit.backbones.hf.blueprint import blueprint
from backbonekit.errors import RecipeError
from backbonekit.recipe.validate import recipe_from_mapping
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


class TestHGNetV2(BackboneTester):
    source = "hf"
    config = {
        "model_type": "hgnet_v2",
        "depths": [1, 1, 1],
        "stem_channels": [3, 8, 12],
        "stage_in_channels": [12, 16, 24],
        "stage_mid_channels": [8, 12, 12],
        "stage_out_channels": [16, 24, 32],
        "stage_num_blocks": [1, 2, 1],
        "stage_numb_of_layers": [2, 1, 2],
        "stage_downsample": [False, True, True],
        "stage_light_block": [False, True, False],
        "stage_kernel_size": [3, 5, 3],
        "use_learnable_affine_block": True,
    }
    exports = True


class TestBit(BackboneTester):
    source = "hf"
    config = {
        "model_type": "bit",
        "embedding_size": 16,
        "hidden_sizes": [32, 32, 64],
        "depths": [1, 2, 1],
        "num_groups": 8,
    }
    args = {"drop_path_rate": 0.2}
    exports = True


class TestBitAsTensorFlowPads(BackboneTester):
    source = "hf"
    config = {
        "model_type": "bit",
        "embedding_size": 16,
        "hidden_sizes": [32, 48],
        "depths": [1, 2],
        "num_groups": 4,
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
    }
    exports = True


class TestFocalNet(BackboneTester):
    source = "hf"
    config = {
        "model_type": "focalnet",
        "embed_dim": 8,
        "depths": [1, 2, 1],
        "focal_levels": [2, 1, 2],
        "focal_windows": [3, 5, 3],
    }
    exports = True


class TestFocalNetWithAllOptions(BackboneTester):
    source = "hf"
    config = {
        "model_type": "focalnet",
        "embed_dim": 12,
        "depths": [2, 1],
        "focal_levels": [3, 2],
        "focal_windows": [3, 1],
        "use_conv_embed": True,
        "use_layerscale": True,
        "use_post_layernorm": True,
        "use_post_layernorm_in_modulation": True,
        "normalize_modulator": True,
    }


REFUSED = [
    ({"model_type": "convnext", "hidden_act": "gelu_10"}, "hidden_act='gelu_10' is not supported, only 'relu'"),
    ({"model_type": "convnext", "depths": [1, 1]}, "hidden_sizes has 4 values and depths 2; .* 4 stages"),
    ({"model_type": "convnextv2", "num_stages": 3}, "one for each of 3 stages"),
    (
        {"model_type": "dinov3_convnext", "hidden_sizes": [8] * 5, "depths": [1] * 5},
        "each of 5 stages .*, of which there are at most 4",
    ),
    ({"model_type": "rt_detr_resnet", "layer_type": "basic"}, "need hidden_sizes\\[0\\] to be embedding_size=64"),
    ({"model_type": "rt_detr_resnet", "embedding_size": 33}, "must be even, got 33"),
    ({"model_type": "rt_detr_resnet", "depths": [1]}, "rt_detr_resnet config: hidden_sizes has 4 values and depths 1"),
    ({"model_type": "hgnet_v2", "stem_strides": [2, 1, 1, 1, 1]}, r"stem_strides=\(2, 1, 1, 1, 1\) is not supported"),
    ({"model_type": "hgnet_v2", "stage_downsample_strides": [2, 2, 1, 2]}, "stage_downsample_strides other than 2"),
    ({"model_type": "hgnet_v2", "depths": [1, 1]}, "stage_in_channels has 4 values and depths 2"),
    ({"model_type": "hgnet_v2", "stage_in_channels": [48, 96, 512, 1024]}, "is 96, but 128 channels arrive there"),
    ({"model_type": "hgnet_v2", "stage_kernel_size": [3, 4, 5, 5]}, "stage_kernel_size must be odd"),
    ({"model_type": "bit", "global_padding": "valid"}, "global_padding='VALID' is not supported, only None, 'SAME'"),
    ({"model_type": "bit", "output_stride": 16}, "output_stride=16 is not supported"),
    ({"model_type": "bit", "width_factor": 2}, "width_factor=2 is not supported"),
    ({"model_type": "bit", "hidden_sizes": [256, 512, 1024, 2044]}, "multiples of 8, got 2044"),
    ({"model_type": "bit", "num_groups": 24}, "num_groups=24 does not divide 64 channels"),
    ({"model_type": "focalnet", "patch_size": 2}, r"patch_size=2 is not supported, only 4, \(4, 4\)"),
    ({"model_type": "focalnet", "depths": [1, 1]}, "focal_windows has 4 values and depths 2"),
    ({"model_type": "focalnet", "focal_windows": [3, 3, 4, 3]}, "focal_windows must be odd"),
    ({"model_type": "rt_detr_resnet", "hidden_act": "selu"}, "hidden_act='selu' is not supported"),
]


@pytest.mark.parametrize(("config", "message"), REFUSED)
def test_what_is_not_built_is_refused_by_name(config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        blueprint(None, config=config, revision=None, in_channels=3, args={})


@pytest.mark.parametrize(
    ("model_type", "name"),
    [("convnext", "kernel_size"), ("convnextv2", "layer_scale_init_value"), ("dinov3_convnext", "patch_size")],
)
def test_words_that_transformers_does_not_read_either(model_type: str, name: str) -> None:
    """They are noted in a file of somebody else, and refused in a recipe."""
    config = {"model_type": model_type, name: 5}
    (note,) = blueprint(None, config=config, revision=None, in_channels=3, args={}).notes
    assert note.startswith(f"{model_type} config: ignored {name!r}")
    with pytest.raises(RecipeError, match=f"backbone.config.{name}: {model_type} has no such field"):
        recipe_from_mapping({"backbone": {"source": "hf", "config": config}})


def test_the_first_map_of_dinov3_convnext_is_the_image() -> None:
    config = TestDINOv3ConvNext.config
    backbone = blueprint(None, config=config, revision=None, in_channels=5, args={}).construct([0])
    pixel_values = torch.randn(1, 5, 33, 20)
    assert torch.equal(backbone(pixel_values).maps[0], pixel_values)
    assert backbone.features.channels == (5,)
    assert not backbone.state_dict()


def test_hgnet_v2_writes_the_channels_of_its_images_where_transformers_looks_for_them() -> None:
    found = blueprint(None, config={"model_type": "hgnet_v2", "num_channels": 5}, revision=None, in_channels=5, args={})
    assert found.config["stem_channels"] == [5, 32, 48]
    assert found.construct([0]).state_dict()["body.stem.stem1.conv.weight"].shape[1] == 5


def test_a_stage_of_focalnet_ends_with_the_downsampling_in_front_of_the_next() -> None:
    found = blueprint(None, config=TestFocalNet.config, revision=None, in_channels=3, args={})
    assert [(level.channels, level.stride) for level in found.levels] == [(8, 4), (16, 8), (32, 16), (32, 16)]
    names = set(found.construct([1]).state_dict())
    assert "body.layers.1.downsample.proj.weight" in names
    assert not any(name.startswith(("body.layers.1.blocks", "body.layers.2")) for name in names)
