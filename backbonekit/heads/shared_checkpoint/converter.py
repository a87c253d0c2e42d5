"""What reads a checkpoint of transformers: its configuration as a recipe, and the names of its weights."""

from collections.abc import Mapping
from typing import Any, Protocol

from backbonekit.contract.labels import names_of_classes, read_id2label
from backbonekit.weights.key_map import KeyMap

_UNNAMED = 2  # the default of transformers


class CheckpointConverter(Protocol):
    """Of one kind of model. Registered under each of its `architectures`.

    `architectures`: the names in the `config.json` of such a model.
    """

    architectures: tuple[str, ...]

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a `config.json` as a flat recipe. Raises RecipeError with every field that has no
        counterpart."""
        ...

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words of a `config.json` are ignored, since transformers reads them as little."""
        ...

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """The names of its weights and those of the model that the recipe builds, both ways."""
        ...


def read_class_names(config: Mapping[str, Any], faults: list[str]) -> tuple[list[str] | None, int]:
    """Names by class index, or None for generated ones (`LABEL_0`); and how many classes there are.

    Reads `id2label`, whose keys are numbers or numbers as text, and without it `num_labels`. `contract/labels.py` says
    what keys mean that are no class indices.
    """
    table = config.get("id2label")
    if table is None:
        count = config.get("num_labels", _UNNAMED)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            faults.append(f"num_labels={str(count)[:60]} must be a whole number of at least 1.")
            count = _UNNAMED
        return None, count
    names = read_id2label(table, faults)
    if names is None:
        return None, len(table) if isinstance(table, Mapping) and table else _UNNAMED
    return names_of_classes(names), len(names)
