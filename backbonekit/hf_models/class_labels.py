"""Classes of a configuration: `num_labels`, `id2label`, `label2id`, three ways to say one thing."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbonekit.errors import ContractError, RecipeError

_UNNAMED = 2  # classes, what transformers has where nobody says how many


def class_names(
    num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, int] | None
) -> dict[int, str]:
    """Every class by its number. The three say the same thing; those that are given must agree."""
    if id2label is None and label2id is not None:
        id2label = {number: name for name, number in label2id.items()}
    if id2label is None:
        count = _UNNAMED if num_labels is None else num_labels
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100_000:
            raise RecipeError(f"num_labels={str(count)[:60]} must be a whole number from 1 to 100,000.")
        return {number: f"LABEL_{number}" for number in range(count)}
    try:
        names = {int(number): name for number, name in id2label.items()}
    except (TypeError, ValueError) as error:
        raise RecipeError("id2label must map the numbers 0, 1, ... to names.") from error
    if num_labels is not None and num_labels != len(names):
        raise ContractError(f"num_labels={num_labels}, but id2label has {len(names)} names; give one of the two.")
    return dict(sorted(names.items()))


def chosen_labels(names: Sequence[str]) -> list[str] | None:
    """The names for a recipe; None where they say nothing (`LABEL_0`)."""
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else list(names)
