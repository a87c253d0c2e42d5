"""Configurations of the transformer families for the comparison with transformers: small, and each with a graph of its
own."""

from typing import Any

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "pvt-v2": (
        "PvtV2Config",
        {"hidden_sizes": [16, 24, 32, 40], "depths": [2, 1, 2, 1], "num_attention_heads": [1, 2, 4, 5]},
    ),
    "pvt-v2-linear-three-stages": (
        "PvtV2Config",
        {
            "hidden_sizes": [12, 24, 20],
            "depths": [1, 2, 1],
            "num_encoder_blocks": 3,
            "num_attention_heads": [1, 3, 5],
            "sr_ratios": [3, 2, 1],
            "patch_sizes": [7, 3, 3],
            "strides": [4, 2, 2],
            "mlp_ratios": [2, 3, 4],
            "qkv_bias": False,
            "linear_attention": True,
            "layer_norm_eps": 1e-2,
        },
    ),
    "swinv2": (
        "Swinv2Config",
        {"embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "window_size": 4, "image_size": 64},
    ),
    "swinv2-measured-in-other-windows": (
        "Swinv2Config",
        {
            "embed_dim": 16,
            "depths": [1, 3, 2, 2],
            "num_heads": [1, 2, 4, 8],
            "window_size": 5,
            "pretrained_window_sizes": [3, 4, 0, 2],
            "patch_size": 2,
            "image_size": [91, 64],
            "qkv_bias": False,
            "layer_norm_eps": 1e-3,
            "mlp_ratio": 2.5,
        },
    ),
    "dinov3-vit": (
        "DINOv3ViTConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 50,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_register_tokens": 2,
            "pos_embed_rescale": None,
        },
    ),
    "dinov3-vit-gated": (
        "DINOv3ViTConfig",
        {
            "hidden_size": 48,
            "intermediate_size": 33,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "patch_size": 12,
            "hidden_act": "silu",
            "use_gated_mlp": True,
            "key_bias": True,
            "apply_layernorm": False,
            "rope_theta": 20.0,
            "layer_norm_eps": 1e-3,
        },
    ),
    "dinov3-vit-unbiased": (
        "DINOv3ViTConfig",
        {
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "query_bias": False,
            "value_bias": False,
            "proj_bias": False,
            "mlp_bias": False,
            "num_register_tokens": 1,
        },
    ),
    "beit": (
        "BeitConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 50,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 64,
            "use_relative_position_bias": True,
        },
    ),
    "beit-all-positions": (
        "BeitConfig",
        {
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 60,
            "patch_size": 12,
            "use_relative_position_bias": True,
            "use_shared_relative_position_bias": True,
            "use_absolute_position_embeddings": True,
            "use_mask_token": True,
            "layer_norm_eps": 1e-3,
        },
    ),
    "beit-shared-unscaled": (
        "BeitConfig",
        {
            "hidden_size": 24,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 96,
            "use_shared_relative_position_bias": True,
            "layer_scale_init_value": 0.0,
        },
    ),
    "beit-without-positions": (
        "BeitConfig",
        {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2},
    ),
    "vitdet": (
        "VitDetConfig",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 96,
            "pretrain_image_size": 64,
            "window_block_indices": [0, 2],
            "window_size": 3,
            "residual_block_indices": [1],
            "use_relative_position_embeddings": True,
        },
    ),
    "vitdet-without-windows": (
        "VitDetConfig",
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 8,
            "image_size": [64, 40],
            "mlp_ratio": 3,
            "hidden_act": "relu",
            "qkv_bias": False,
            "pretrain_image_size": [96, 96],
            "residual_block_indices": [0, 1],
            "layer_norm_eps": 1e-3,
        },
    ),
    "hiera": (
        "HieraConfig",
        {"embed_dim": 16, "depths": [1, 2, 2, 1], "num_heads": [1, 2, 4, 8], "image_size": [64, 96]},
    ),
    "hiera-pooled-once": (
        "HieraConfig",
        {
            "embed_dim": 12,
            "depths": [2, 1, 2],
            "num_heads": [2, 3, 2],
            "image_size": [72, 48],
            "patch_size": [5, 5],
            "patch_stride": [3, 3],
            "patch_padding": [2, 2],
            "num_query_pool": 1,
            "masked_unit_size": [4, 4],
            "masked_unit_attention": [False, True, False],
            "mlp_ratio": 2.5,
            "hidden_act": "relu",
            "layer_norm_eps": 1e-3,
        },
    ),
    "vitpose": (
        "VitPoseBackboneConfig",
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": [64, 48]},
    ),
    "vitpose-unbiased": (
        "VitPoseBackboneConfig",
        {
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 40,
            "patch_size": 8,
            "mlp_ratio": 3,
            "hidden_act": "relu",
            "qkv_bias": False,
            "layer_norm_eps": 1e-3,
        },
    ),
}
ONE_OF_EACH = (
    "pvt-v2",
    "pvt-v2-linear-three-stages",
    "swinv2",
    "dinov3-vit",
    "beit",
    "beit-all-positions",
    "vitdet",
    "hiera",
)
# Each runs one module for both branches of a block, where there are two here.
WITH_STOCHASTIC_DEPTH = ("dinov2-with-registers", "pvt-v2", "swinv2", "dinov3-vit", "beit", "vitdet", "hiera")
# Of these transformers has no such class.
WITHOUT_MODEL = frozenset({"vitpose_backbone"})
WITHOUT_CLASSIFIER = frozenset({"dinov3_vit", "vitdet", "vitpose_backbone"})
# These take images of one size.
OF_ONE_SIZE = frozenset({"hiera", "vitpose_backbone"})
