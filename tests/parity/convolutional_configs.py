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
    "hgnet-v2": (
        "HGNetV2Config",
        {
            "stem_channels": [3, 8, 12],
            "stage_in_channels": [12, 16, 24, 32],
            "stage_mid_channels": [8, 12, 12, 16],
            "stage_out_channels": [16, 24, 32, 48],
            "stage_num_blocks": [1, 2, 1, 1],
            "stage_numb_of_layers": [2, 1, 2, 1],
        },
    ),
    "hgnet-v2-affine": (
        "HGNetV2Config",
        {
            "stem_channels": [3, 8, 12],
            "stage_in_channels": [12, 16],
            "stage_mid_channels": [8, 12],
            "stage_out_channels": [16, 20],
            "stage_num_blocks": [2, 2],
            "stage_numb_of_layers": [2, 2],
            "stage_downsample": [True, False],
            "stage_light_block": [True, False],
            "stage_kernel_size": [5, 3],
            "depths": [1, 1],
            "use_learnable_affine_block": True,
            "hidden_act": "silu",
        },
    ),
    "bit": (
        "BitConfig",
        {"embedding_size": 16, "hidden_sizes": [32, 32, 64, 96], "depths": [2, 1, 2, 1], "num_groups": 8},
    ),
    "bit-as-tensorflow": (
        "BitConfig",
        {
            "embedding_size": 24,
            "hidden_sizes": [32, 64],
            "depths": [1, 2],
            "num_groups": 4,
            "global_padding": "same",
            "embedding_dynamic_padding": True,
            "hidden_act": "gelu",
        },
    ),
    "bit-postactivation": (
        "BitConfig",
        {
            "embedding_size": 16,
            "hidden_sizes": [32, 48],
            "depths": [1, 2],
            "num_groups": 4,
            "layer_type": "bottleneck",
            "embedding_dynamic_padding": True,
        },
    ),
    "bit-postactivation-same": (
        "BitConfig",
        {
            "embedding_size": 16,
            "hidden_sizes": [16, 32],
            "depths": [2, 1],
            "num_groups": 2,
            "layer_type": "bottleneck",
            "global_padding": "SAME",
            "hidden_act": "silu",
        },
    ),
    "focalnet": (
        "FocalNetConfig",
        {
            "embed_dim": 8,
            "depths": [1, 2, 1, 1],
            "hidden_sizes": [16, 32, 64, 64],
            "focal_levels": [2, 1, 2, 1],
            "focal_windows": [3, 5, 3, 3],
            "drop_path_rate": 0.0,
        },
    ),
    "focalnet-all-options": (
        "FocalNetConfig",
        {
            "embed_dim": 12,
            "depths": [2, 2],
            "hidden_sizes": [24, 24],
            "focal_levels": [3, 2],
            "focal_windows": [3, 1],
            "use_conv_embed": True,
            "use_layerscale": True,
            "use_post_layernorm": True,
            "use_post_layernorm_in_modulation": True,
            "normalize_modulator": True,
            "layer_norm_eps": 1e-2,
            "hidden_act": "relu",
            "mlp_ratio": 2.5,
        },
    ),
    "focalnet-lone-stage": (
        "FocalNetConfig",
        {
            "embed_dim": 12,
            "depths": [1],
            "hidden_sizes": [12],
            "focal_levels": [1],
            "focal_windows": [5],
            "use_post_layernorm": True,
        },
    ),
}
ONE_OF_EACH = (
    "convnext",
    "convnextv2",
    "dinov3-convnext",
    "rt-detr-resnet",
    "rt-detr-resnet-basic",
    "hgnet-v2-affine",
    "bit",
    "bit-postactivation",
    "focalnet",
    "focalnet-all-options",
)
WITH_STOCHASTIC_DEPTH = ("convnext", "convnextv2", "dinov3-convnext", "bit", "focalnet-all-options")
# Of these transformers has no such class.
WITHOUT_MODEL = frozenset({"rt_detr_resnet", "hgnet_v2"})
WITHOUT_CLASSIFIER = frozenset({"dinov3_convnext", "rt_detr_resnet"})
# Norms behind the last stage, which no map passes and which a backbone of transformers has all the same.
IDLE = ("bit.norm", "focalnet.layernorm")
