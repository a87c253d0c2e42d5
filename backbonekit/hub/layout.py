"""The names of the files that make a saved model."""

import re

from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG
from backbonekit.weights.checkpoint import INDEX, WEIGHTS

RECIPE = "recipe.yaml"
CARD = "README.md"

_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def is_weights(name: str) -> bool:
    """Whether a file is part of a saved model's weights."""
    return name in (WEIGHTS, INDEX) or _SHARD.fullmatch(name) is not None


def is_ours(name: str) -> bool:
    """Whether a file is part of a saved model. Everything else in its folder is somebody else's."""
    return name in (RECIPE, CARD, PREPROCESSOR_CONFIG) or is_weights(name)
