"""Each family of transformers under the tests that every backbone passes."""

from tests.backbones.backbone_tester import BackboneTester


class TestBottleneckResNet(BackboneTester):
    source = "hf"
    config = {"model_type": "resnet", "hidden_sizes": [64, 96, 128], "depths": [1, 2, 1]}
    exports = True


class TestBasicResNetThatHalvesEarly(BackboneTester):
    source = "hf"
    config = {
        "model_type": "resnet",
        "hidden_sizes": [64, 80],
        "depths": [1, 1],
        "layer_type": "basic",
        "downsample_in_first_stage": True,
    }


class TestNormedResNet(BackboneTester):
    source = "hf"
    config = {"model_type": "resnet", "hidden_sizes": [64, 96], "depths": [1, 1], "downsample_in_bottleneck": True}
    args = {"norm": "per_stage"}


class TestSwin(BackboneTester):
    source = "hf"
    config = {"model_type": "swin", "embed_dim": 24, "depths": [1, 2, 2], "num_heads": [2, 4, 4], "window_size": 4}


class TestSwinWithFinalNorm(BackboneTester):
    source = "hf"
    config = {"model_type": "swin", "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4], "window_size": 3}
    args = {"norm": "final"}


class TestMaskFormerSwin(BackboneTester):
    source = "hf"
    config = {"model_type": "maskformer-swin", "embed_dim": 24, "depths": [1, 2], "num_heads": [2, 4], "window_size": 4}


class TestDinov2(BackboneTester):
    source = "hf"
    config = {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": 56,
    }
    sizes = ((56, 56), (33, 47))
    exports = True


class TestGatedDinov2(BackboneTester):
    source = "hf"
    config = {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 8,
        "use_swiglu_ffn": True,
        "apply_layernorm": False,
    }
