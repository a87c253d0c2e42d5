"""Checks the `labels` of a recipe: the names of the classes, things and stuff told apart."""

from typing import Any

from backbonekit.contract.labels import Labels
from backbonekit.contract.option_values import shown
from backbonekit.errors import nearest
from backbonekit.recipe.forbidden import shown_path

_MAX_LABELS = 100_000
_MAX_LABEL = 500  # characters; ImageNet's longest, with all its synonyms, has 131


def read_labels(data: Any, faults: list[str]) -> Labels | None:
    """null, a list of names, or {names: [...], things: [...]} with things by name or by number."""
    if data is None:
        return None
    things = None
    if isinstance(data, dict):
        for key in data:
            if key not in ("names", "things"):
                faults.append(f"{shown_path(f'labels.{key}')} is unknown; {nearest(key, ['names', 'things'])}")
        things, data = data.get("things"), data.get("names")
    if not isinstance(data, list) or not 1 <= len(data) <= _MAX_LABELS:
        faults.append(
            f"labels: given {shown(data)}, must be null, a list of names, or {{names: [...], things: [...]}}."
        )
        return None
    before = len(faults)
    for number, name in enumerate(data):
        if not isinstance(name, str) or not name or len(name) > _MAX_LABEL or not name.isprintable():
            hint = f" Write {shown(str(name))}." if isinstance(name, int | float) else ""
            faults.append(f"labels.{number}: given {shown(name)}, must be a name (text of one line).{hint}")
    if len(faults) > before:
        return None
    names = tuple(data)
    return Labels(names, None if things is None else _read_things(things, names, faults))


def _read_things(things: Any, names: tuple[str, ...], faults: list[str]) -> frozenset[int]:
    if not isinstance(things, list):
        faults.append(f"labels.things: given {shown(things)}, must be a list of those names that are countable things.")
        return frozenset()
    found: set[int] = set()
    for position, thing in enumerate(things):
        is_number = isinstance(thing, int) and not isinstance(thing, bool)
        numbers = [number for number, name in enumerate(names) if (number if is_number else name) == thing]
        if not numbers:
            hint = nearest(thing, names) if isinstance(thing, str) else f"the numbers are 0 to {len(names) - 1}."
            faults.append(f"labels.things.{position}: no class {shown(thing)}; {hint}")
        found.update(numbers)
    return frozenset(found)
