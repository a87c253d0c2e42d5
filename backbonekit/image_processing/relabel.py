"""`processing.label_map` applied to a target: labels of a data set's files become classes, or are ignored."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from backbonekit.contract.targets import PER_OBJECT_KEYS, Target

_RECORDS = ("iscrowd", "area")  # of each object too, where the target still has them


def relabelled_target(target: Target, numbers: Mapping[int, int | None], ignore_label: int) -> Target:
    """The target with the labels of `segmentation`, `labels` and a single `class` changed, all at once.

    `numbers`: the new label by the old one, None where it is ignored; labels that it does not name stay. An ignored
    label becomes `ignore_label` in a segmentation; an object that has it leaves every per-object key, so it counts as
    background; the class of an image that is ignored becomes a tensor without entries.
    """
    changed: dict[str, Any] = dict(target)
    if "segmentation" in changed:
        known = {label: ignore_label if number is None else number for label, number in numbers.items()}
        changed["segmentation"] = relabelled(changed["segmentation"], known)
    ignored = [label for label, number in numbers.items() if number is None]
    classes = {label: number for label, number in numbers.items() if number is not None}
    if "labels" in changed:
        kept = ~torch.isin(changed["labels"], torch.tensor(ignored, dtype=torch.int64))
        changed |= {key: changed[key][kept] for key in (*PER_OBJECT_KEYS, *_RECORDS) if _has_each(changed, key)}
        changed["labels"] = relabelled(changed["labels"], classes)
    if "class" in changed and changed["class"].numel() == 1 and not changed["class"].is_floating_point():
        if int(changed["class"]) in ignored:
            changed["class"] = changed["class"].new_empty(0)
        else:
            changed["class"] = relabelled(changed["class"], classes)
    return changed  # type: ignore[return-value]


def _has_each(target: Mapping[str, Any], key: str) -> bool:
    """Whether a key has one entry for each object."""
    return isinstance(target.get(key), Tensor) and len(target[key]) == len(target["labels"])


def relabelled(labels: Tensor, numbers: Mapping[int, int]) -> Tensor:
    """The labels, with those that `numbers` names changed."""
    if not numbers:
        return labels
    given = torch.tensor(sorted(numbers), device=labels.device, dtype=labels.dtype)
    becomes = torch.tensor([numbers[label] for label in sorted(numbers)], device=labels.device, dtype=labels.dtype)
    position = torch.searchsorted(given, labels).clamp(max=len(numbers) - 1)
    return torch.where(given[position] == labels, becomes[position], labels)
