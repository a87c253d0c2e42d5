"""Small recipes of every kind of model: the parts that ship, with few channels, so that a test takes no time."""

from typing import Any

RESNET = {  # of transformers
    "source": "hf",
    "config": {
        "model_type": "resnet",
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 24, 32],
        "layer_type": "basic",
    },
}
SWIN = {
    "source": "hf",
    "config": {
        "model_type": "swin",
        "embed_dim": 16,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 2, 4],
        "window_size": 4,
        "image_size": 64,
    },
}
DINOV2 = {
    "source": "hf",
    "config": {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
    },
}
TIMM_RESNET = {"source": "timm", "name": "resnet10t", "args": {"channels": [8, 16, 24, 32], "stem_width": 8}}
TIMM_CONVNEXT = {"source": "timm", "name": "convnext_atto", "args": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}
TIMM_VIT = {
    "source": "timm",
    "name": "vit_tiny_patch16_224",
    "args": {"depth": 2, "embed_dim": 32, "num_heads": 2},
}

PIXEL_DECODER = {"name": "fpn_pixel_decoder", "channels": 64, "mask_channels": 16}
MASKFORMER = {
    "name": "maskformer",
    "num_classes": 4,
    "num_queries": 5,
    "channels": 32,
    "num_layers": 2,
    "num_heads": 4,
    "feedforward_channels": 32,
    "auxiliary": "normalised",
}
FCN = {"name": "fcn", "num_classes": 4, "auxiliary": True}
CLASSIFICATION = {"name": "classification", "num_classes": 4}


def maskformer(backbone: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"backbone": backbone, "neck": PIXEL_DECODER, "head": MASKFORMER, "processing": SMALL, **changes}


SMALL = {"shortest_edge": 32, "longest_edge": 96}  # so that predicting takes no time either
