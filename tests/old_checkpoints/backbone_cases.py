"""Small configurations of every backbone family, in fields that all releases know."""

from typing import Any

from tests.parity import convolutional_configs, transformer_configs

# Family: class of its configuration, fields.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("ResNetConfig", {"hidden_sizes": [32, 64, 128, 256], "depths": [2, 1, 2, 1]}),
    "swin": ("SwinConfig", {"embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "window_size": 4}),
    "maskformer-swin": (
        "MaskFormerSwinConfig",
        {"embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "window_size": 5},
    ),
    "dinov2": (
        "Dinov2Config",
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56},
    ),
    "dinov2-with-registers": (
        "Dinov2WithRegistersConfig",
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 64},
    ),
}
CONFIGS = {
    **OTHERS,
    **{name: convolutional_configs.CONFIGS[name] for name in convolutional_configs.ONE_OF_EACH},
    **{name: transformer_configs.CONFIGS[name] for name in (*transformer_configs.ONE_OF_EACH, "vitpose")},
}
# Side of the images that the weights are made for, where others are interpolated or refused.
NATIVE = {
    "dinov2": (56, 56),
    "dinov2-with-registers": (64, 64),
    "hiera": (64, 96),
    "vitpose": (64, 48),
    "beit": (64, 64),
    "beit-all-positions": (60, 60),
    "vitdet": (64, 64),
}
ONE_SIZE = ("hiera", "vitpose")  # these families take images of one size
# What of a family is published: the bare backbone, the model without a head, a classifier.
KINDS = ("Backbone", "Model", "ForImageClassification")
