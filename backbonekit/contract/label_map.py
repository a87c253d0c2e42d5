"""The labels of a data set's files as those of a model: `processing.label_map`. No torch here."""

from collections.abc import Mapping
from typing import Any

from backbonekit.contract.option_values import shown

IGNORE = "ignore"
_LARGEST = 16_777_215  # as of the ignored label


def read_label_map(label_map: Mapping[str, Any]) -> dict[int, int | None]:
    """By number; None where a label is ignored."""
    return {int(label): None if number == IGNORE else number for label, number in label_map.items()}


def label_map_faults(path: str, label_map: Mapping[str, Any]) -> list[str]:
    """One message for each key that is no label. The values are checked as those of every option."""
    return [
        f"{path}: the key {shown(key)} must be the number of a label, such as {{0: ignore, 7: 1}}."
        for key in label_map
        if not _is_number(key) or not -_LARGEST <= int(key) <= _LARGEST
    ]


def unknown_classes(path: str, label_map: Mapping[str, Any], num_labels: int) -> list[str]:
    """One message for each label that becomes none of the labels 0 to num_labels - 1."""
    return [
        f"{path}.{label}: given {number}, which is no class: they run from 0 to {num_labels - 1}, or ignore."
        for label, number in label_map.items()
        if number != IGNORE and not 0 <= number < num_labels
    ]


def _is_number(key: Any) -> bool:
    """Written as Python writes it, so that no two keys are one label."""
    digits = key.removeprefix("-") if isinstance(key, str) else ""
    return digits.isdecimal() and digits.isascii() and len(digits) <= 9 and str(int(key)) == key
