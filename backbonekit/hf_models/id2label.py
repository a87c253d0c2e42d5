"""The classes of a configuration in transformers' fields: `num_labels`, `id2label` and `label2id`, which must agree."""

from collections.abc import Mapping
from typing import Any

from backbonekit.contract.labels import read_id2label
from backbonekit.errors import ContractError, RecipeError

_UNNAMED = 2  # classes, the default of transformers


def class_names(
    num_labels: int | None, id2label: Mapping[Any, Any] | None, label2id: Mapping[Any, Any] | None
) -> dict[int, Any]:
    """`id2label` exactly as it was given, with whole numbers as keys; without it, what `label2id` or `num_labels` say.

    Raises RecipeError for what is no class index or no name, ContractError where two of the three disagree.
    """
    faults: list[str] = []
    names = None if id2label is None else read_id2label(id2label, faults)
    inverted = None if label2id is None else read_id2label(_inverted(label2id), faults)
    if faults:
        raise RecipeError(faults)
    if names is not None and inverted is not None:
        other = next((index for index, name in inverted.items() if str(names.get(index)) != str(name)), None)
        if other is not None:
            raise ContractError(
                f"label2id says that {str(inverted[other])!r} is the class {other}, id2label says otherwise; give one"
                " of the two."
            )
    names = inverted if names is None else names
    if names is None:
        return _generated(_UNNAMED if num_labels is None else num_labels)
    if num_labels is not None and num_labels != len(names):
        raise ContractError(
            f"num_labels={num_labels}, but id2label has {len(names)} names; give one of the two, or a name for each"
            " class ('N/A' where there is none)."
        )
    return names


def _inverted(label2id: Any) -> Any:
    return {number: name for name, number in label2id.items()} if isinstance(label2id, Mapping) else label2id


def _generated(count: Any) -> dict[int, Any]:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100_000:
        raise RecipeError(f"num_labels={str(count)[:60]} must be a whole number from 1 to 100,000.")
    return {number: f"LABEL_{number}" for number in range(count)}
