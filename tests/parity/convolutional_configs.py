"""Configurations of the convolutional families for the comparison with transformers: small, and each with a graph of
its own."""

from typing import Any

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "convnext": ("ConvNextConfig", {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 1, 2, 1]}),
    "convnext-three-stages-unscaled": (
        "ConvNextConfig",
        {
            "hidden_sizes": [12, 12, 20],
            "depths": [1, 2, 1],
            "num_stages": 3,
            "patch_size": 2,
            "hidden_act": "silu",
            "layer_scale_init_value": 0.0,
            "layer_norm_eps": 1e-2,
        },
    ),
    "convnext-coarse": (
        "ConvNextConfig",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "patch_size": 8},
    ),
    "convnextv2": ("ConvNextV2Config", {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 1, 2, 1]}),
    "convnextv2-three-stages": (
        "ConvNextV2Config",
        {
            "hidden_sizes": [12, 20, 20],
            "depths": [1, 2, 1],
            "num_stages": 3,
            "patch_size": 3,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-2,
        },
    ),
    "dinov3-convnext": ("DINOv3ConvNextConfig", {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 1, 2, 1]}),
    "dinov3-convnext-two-stages": (
        "DINOv3ConvNextConfig",
        {"hidden_sizes": [12, 20], "depths": [1, 2], "hidden_act": "relu", "layer_norm_eps": 1e-2},
    ),
    "rt-detr-resnet": (
        "RTDetrResNetConfig",
        {"embedding_size": 24, "hidden_sizes": [32, 64, 64, 96], "depths": [2, 1, 2, 1]},
    ),
    "rt-detr-resnet-basic": (
        "RTDetrResNetConfig",
        {"embedding_size": 16, "hidden_sizes": [16, 16, 24], "depths": [2, 1, 2], "layer_type": "basic"},
    ),
    "rt-detr-resnet-basic-early-gelu": (
        "RTDetrResNetConfig",
        {
            "embedding_size": 16,
            "hidden_sizes": [24, 32],
            "depths": [1, 1],
            "layer_type": "basic",
            "hidden_act": "gelu",
            "downsample_in_first_stage": True,
        },
    ),
    "rt-detr-resnet-basic-early-equal": (
        "RTDetrResNetConfig",
        {
            "embedding_size": 16,
            "hidden_sizes": [16],
            "depths": [1],
            "layer_type": "basic",
            "downsample_in_first_stage": True,
        },
    ),
    "rt-detr-resnet-both-flags": (
        "RTDetrResNetConfig",
        {
            "embedding_size": 32,
            "hidden_sizes": [32, 48],
            "depths": [2, 2],
            "downsample_in_first_stage": True,
            "downsample_in_bottleneck": True,
        },
    ),
    "rt-detr-resnet-equal": ("RTDetrResNetConfig", {"embedding_size": 32, "hidden_sizes": [32], "depths": [1]}),
}
ONE_OF_EACH = ("convnext", "convnextv2", "dinov3-convnext", "rt-detr-resnet", "rt-detr-resnet-basic")
WITH_STOCHASTIC_DEPTH = ("convnext", "convnextv2", "dinov3-convnext")
# Of these transformers has no such class.
WITHOUT_MODEL = frozenset({"rt_detr_resnet"})
WITHOUT_CLASSIFIER = frozenset({"dinov3_convnext", "rt_detr_resnet"})
