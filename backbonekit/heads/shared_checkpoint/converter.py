"""What reads a checkpoint of transformers: its configuration as a recipe, and the names of its weights."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from backbonekit.contract.labels import names_of_classes, read_id2label
from backbonekit.weights.key_map import KeyMap

_UNNAMED = 2  # the default of transformers


class CheckpointConverter(Protocol):
    """Of one kind of model. Registered under each of its `architectures`.

    `architectures`: the names in the `config.json` of such a model. `head`: the name of the head that it builds.
    """

    architectures: tuple[str, ...]
    head: str

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a `config.json` as a flat recipe. Raises RecipeError with every field that has no
        counterpart."""
        ...

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The other way: the content of the `config.json` of a flat and complete recipe with this head. Raises
        RecipeError for what transformers has no field for. Whoever calls it compares `recipe` of the result."""
        ...

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words of a `config.json` are ignored, since transformers reads them as little."""
        ...

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a model with this `config.json` by transformers' names: those that its own model has, none
        more and none less. Raises WeightsError that lists every tensor without such a name."""
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
