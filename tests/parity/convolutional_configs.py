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
}
ONE_OF_EACH = ("convnext", "convnextv2", "dinov3-convnext")
WITH_STOCHASTIC_DEPTH = ("convnext", "convnextv2", "dinov3-convnext")
# Of these transformers has no such class.
WITHOUT_MODEL: frozenset[str] = frozenset()
WITHOUT_CLASSIFIER = frozenset({"dinov3_convnext"})
