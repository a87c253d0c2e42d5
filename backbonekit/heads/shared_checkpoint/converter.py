"""What a foreign model is to us: a recipe, and a table of its weights' names."""

from collections.abc import Mapping
from typing import Any, Protocol

from backbonekit.weights.key_map import KeyMap


class CheckpointConverter(Protocol):
    """One kind of model in somebody else's format. Registered by each of its `architectures`.

    `architectures`: what such a model's `config.json` says it is.
    """

    architectures: tuple[str, ...]

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a `config.json` as a flat recipe. RecipeError tells every field without a counterpart."""
        ...

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """The names of its weights and those of the model that the recipe builds, both ways."""
        ...
