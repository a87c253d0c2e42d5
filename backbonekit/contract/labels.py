"""The classes of a model: their names, the ids of the user's own categories, things and stuff. No torch here.

Everything that a model computes or returns counts classes by their index, 0 to N - 1, the column of the logits. This
file is the only one that knows what an index is called and which id it has in the user's own annotation file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_NAME = 500  # characters; ImageNet's longest, with all its synonyms, has 131


@dataclass(frozen=True)
class Labels:
    """`names`: one for each class, by its index. `things`: the indices of countable classes (a person, a car); the
    rest is stuff (sky, road), of which a panoptic result has one segment each. None: unknown, all are things.
    `category_ids`: the id of each class in the user's own annotations, by its index. None: the ids are the indices."""

    names: tuple[str, ...]
    things: frozenset[int] | None = None
    category_ids: tuple[int, ...] | None = None

    def name(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else str(label)

    def category_id(self, label: int) -> int:
        """The user's own id of the class with this index."""
        return label if self.category_ids is None else self.category_ids[label]

    def index(self, category_id: int) -> int | None:
        """The index of the class with this id of the user's own; None for an id that no class has."""
        return self._indices.get(category_id)

    @property
    def stuff(self) -> frozenset[int]:
        return frozenset() if self.things is None else frozenset(range(len(self.names))) - self.things

    @cached_property
    def _indices(self) -> dict[int, int]:
        ids = range(len(self.names)) if self.category_ids is None else self.category_ids
        return {category_id: index for index, category_id in enumerate(ids)}


LabelsByTask = Mapping[str, Labels | None]
"""Those of each task of a model whose tasks have different classes."""


def labels_of(labels: Labels | LabelsByTask | None, task: str) -> Labels | None:
    """Those of one task: its own where they differ by task, else those of all."""
    return labels.get(task) if isinstance(labels, Mapping) else labels


def category_id_of(labels: Labels | None, label: int) -> int:
    """The id of a class in the user's own annotations; without labels its index."""
    return label if labels is None else labels.category_id(label)


def read_id2label(table: Any, faults: list[str]) -> dict[int, Any] | None:
    """transformers' `id2label` as it was given, with whole numbers as keys. Whatever is wrong is added to `faults`."""
    if not isinstance(table, Mapping) or not table:
        faults.append("id2label must map class indices to names, such as {0: 'cat', 1: 'dog'}.")
        return None
    names: dict[int, Any] = {}
    before = len(faults)
    for key, name in table.items():
        index = _whole(key)
        if index is None:
            faults.append(f"id2label: the key {str(key)[:60]!r} is no class index; write {{0: 'cat', 1: 'dog'}}.")
        elif index in names:
            faults.append(f"id2label names the class {index} twice.")
        elif isinstance(name, bool) or not isinstance(name, str | int | float) or not _is_line(str(name)):
            faults.append(f"id2label: {str(name)[:60]!r} is no name of one line.")
        else:
            names[index] = name
    return names if len(faults) == before else None


def names_of_classes(id2label: Mapping[int, Any]) -> list[str] | None:
    """The name of each class of a model with this `id2label`, by index: as many classes as it has entries, which is how
    transformers counts. A class without a name has its number. None where the names say nothing (`LABEL_0`)."""
    given = [str(id2label.get(index, "")).strip() for index in range(len(id2label))]
    if all(name in ("", f"LABEL_{index}") for index, name in enumerate(given)):
        return None
    return [name or str(index) for index, name in enumerate(given)]


def gaps_note(id2label: Mapping[int, Any]) -> str | None:
    """What to know about an `id2label` whose keys are not the class indices, with the fix; None where they are."""
    count = len(id2label)
    beyond = sorted(index for index in id2label if not 0 <= index < count)
    if not beyond:
        return None
    unnamed = [index for index in range(count) if index not in id2label]
    lost = ", ".join(f"{index} ({str(id2label[index])[:30]!r})" for index in beyond[:5])
    more = f" and {len(beyond) - 5} more" if len(beyond) > 5 else ""
    shown = ", ".join(map(str, unnamed[:5])) + (f" and {len(unnamed) - 5} more" if len(unnamed) > 5 else "")
    fix = "number the classes from 0, and keep your own ids as labels.category_ids of a recipe"
    if beyond[0] >= 0 and beyond[-1] < 2 * count + 100:
        fix = f"name every number from 0 to {beyond[-1]}, 'N/A' where there is none; or {fix}"
    return (
        f"id2label has {count} entries, so the classes are 0 to {count - 1}: no class has the number {lost}{more}, and"
        f" {shown} without a name is shown as a number. The fix: {fix}."
    )


def _whole(key: Any) -> int | None:
    if isinstance(key, bool) or not isinstance(key, int | str):
        return None
    try:
        return int(key)
    except ValueError:
        return None


def _is_line(name: str) -> bool:
    return name.strip().isprintable() and len(name) <= MAX_NAME
