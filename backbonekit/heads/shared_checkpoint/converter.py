"""What reads a checkpoint of transformers: its configuration as a recipe, and the names of its weights."""

from collections.abc import Mapping
from typing import Any, Protocol

from backbonekit.weights.key_map import KeyMap

_UNNAMED = 2  # the default of transformers
_MAX_NAME = 500


class CheckpointConverter(Protocol):
    """Of one kind of model. Registered under each of its `architectures`.

    `architectures`: the names in the `config.json` of such a model.
    """

    architectures: tuple[str, ...]

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a `config.json` as a flat recipe. Raises RecipeError with every field that has no
        counterpart."""
        ...

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """The names of its weights and those of the model that the recipe builds, both ways."""
        ...


def read_class_names(config: Mapping[str, Any], faults: list[str]) -> tuple[list[str] | None, int]:
    """Names in the order of their numbers, or None for generated ones (`LABEL_0`); and how many classes there are.

    Reads `id2label`, whose keys are numbers or numbers as text, and without it `num_labels`.
    """
    table = config.get("id2label")
    if table is None:
        count = config.get("num_labels", _UNNAMED)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            faults.append(f"num_labels={str(count)[:60]} must be a whole number of at least 1.")
            count = _UNNAMED
        return None, count
    if not isinstance(table, Mapping) or not table:
        faults.append("id2label must map the numbers 0, 1, ... to names.")
        return None, _UNNAMED
    by_number = {str(number): name for number, name in table.items()}
    missing = next((number for number in range(len(table)) if str(number) not in by_number), None)
    if missing is not None:
        faults.append(f"id2label has {len(table)} names and none for {missing}; the numbers are 0 to {len(table) - 1}.")
        return None, len(table)
    names = [by_number[str(number)] for number in range(len(table))]
    wrong = [name for name in names if not isinstance(name, str) or not name.isprintable() or len(name) > _MAX_NAME]
    if wrong:
        faults.append(f"id2label: {str(wrong[0])[:60]!r} is no name of one line.")
        return None, len(table)
    if all(not name or name == f"LABEL_{number}" for number, name in enumerate(names)):
        return None, len(table)
    return [name or f"LABEL_{number}" for number, name in enumerate(names)], len(table)
