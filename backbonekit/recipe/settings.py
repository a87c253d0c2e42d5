"""Checks the `labels`, `processing` and `training` of a recipe: what is no part of the network."""

from typing import Any

from backbonekit.contract.label_map import label_map_faults
from backbonekit.contract.labels import MAX_NAME, Labels
from backbonekit.contract.option_values import coerced, faults_of, shown
from backbonekit.contract.processing import OF_TARGETS
from backbonekit.errors import NearestNames
from backbonekit.recipe.forbidden import shown_path
from backbonekit.registry.table import processing_fields

_MAX_LABELS = 100_000
LABEL_KEYS = ("names", "things", "category_ids")
_MAX_CATEGORY_ID = 2**53  # beyond it JSON readers round
_EDGES = ("shortest_edge", "longest_edge")
_FROZEN_STAGES = {"type": "integer", "minimum": 0, "maximum": 1_000}


def read_labels(data: Any, faults: list[str], path: str = "labels") -> Labels | None:
    """null, a list of names, or {names: [...], things: [...], category_ids: [...]} with things by name or by index.
    `path`: where it stands in the recipe."""
    if data is None:
        return None
    things = category_ids = None
    if isinstance(data, dict):
        if any(key.isdecimal() for key in data):
            faults.append(
                f"{path}: names in the order of their numbers are a list, such as [cat, dog], without numbers."
            )
            return None
        nearest_key = NearestNames(LABEL_KEYS)
        for key in data:
            if key not in LABEL_KEYS:
                faults.append(f"{shown_path(f'{path}.{key}')} is unknown; {nearest_key(key)}")
        things, category_ids, data = data.get("things"), data.get("category_ids"), data.get("names")
    if not isinstance(data, list) or not 1 <= len(data) <= _MAX_LABELS:
        faults.append(
            f"{path}: given {shown(data)}, must be null, a list of names, or {{names: [...], things: [...],"
            " category_ids: [...]}."
        )
        return None
    before = len(faults)
    for number, name in enumerate(data):
        if not isinstance(name, str) or not name or len(name) > MAX_NAME or not name.isprintable():
            hint = f" Write {shown(str(name))}." if isinstance(name, int | float) else ""
            faults.append(f"{path}.{number}: given {shown(name)}, must be a name (text of one line).{hint}")
    if len(faults) > before:
        return None
    names = tuple(data)
    return Labels(
        names,
        None if things is None else _read_things(things, names, faults, f"{path}.things"),
        None if category_ids is None else _read_category_ids(category_ids, names, faults, f"{path}.category_ids"),
    )


def _read_things(things: Any, names: tuple[str, ...], faults: list[str], path: str) -> frozenset[int]:
    if not isinstance(things, list):
        faults.append(f"{path}: given {shown(things)}, must be a list of those names that are countable things.")
        return frozenset()
    found: set[int] = set()
    by_name: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        by_name.setdefault(name, []).append(number)
    nearest_name = NearestNames(names)
    for position, thing in enumerate(things):
        is_number = isinstance(thing, int) and not isinstance(thing, bool) and 0 <= thing < len(names)
        numbers = [thing] if is_number else by_name.get(thing, []) if isinstance(thing, str) else []
        if not numbers:
            hint = nearest_name(thing) if isinstance(thing, str) else f"the numbers are 0 to {len(names) - 1}."
            faults.append(f"{path}.{position}: no class {shown(thing)}; {hint}")
        found.update(numbers)
    return frozenset(found)


def _read_category_ids(ids: Any, names: tuple[str, ...], faults: list[str], path: str) -> tuple[int, ...] | None:
    """The user's own id of each class: one whole number for each name, no two the same."""
    if not isinstance(ids, list) or len(ids) != len(names):
        given = shown(ids) if not isinstance(ids, list) else f"{len(ids)} ids"
        faults.append(f"{path}: given {given}, must be a list of {len(names)} whole numbers, one for each name.")
        return None
    before = len(faults)
    seen: dict[int, int] = {}
    for position, number in enumerate(ids):
        if not isinstance(number, int) or isinstance(number, bool) or abs(number) > _MAX_CATEGORY_ID:
            faults.append(f"{path}.{position}: given {shown(number)}, must be a whole number.")
        elif seen.setdefault(number, position) != position:
            faults.append(
                f"{path}.{position}: {number} is also the id of {shown(names[seen[number]])}; every class has its own."
            )
    return tuple(ids) if len(faults) == before else None


def read_target_processing(data: Any, faults: list[str], path: str) -> dict[str, Any]:
    """What a task has of its own: how its targets are read. Its images are prepared once, for all tasks."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(f"{path}: given {shown(data)}, must be a mapping with keys of {', '.join(OF_TARGETS)}.")
        return {}
    fields = processing_fields()
    read: dict[str, Any] = {}
    nearest_field = NearestNames(OF_TARGETS)
    for key, value in data.items():
        where = shown_path(f"{path}.{key}")
        if key not in OF_TARGETS:
            of_images = f"an image is prepared once, for all tasks. The fix: processing.{key}."
            faults.append(f"{where}: {of_images if key in fields else nearest_field(key)}")
            continue
        found = faults_of(where, value, fields[key]["schema"])
        faults.extend(found)
        if not found and value is not None:
            read[key] = coerced(value, fields[key]["schema"])
    if read.get("label_map"):
        faults.extend(label_map_faults(f"{path}.label_map", read["label_map"]))
    return read


def read_processing(data: Any, in_channels: int, faults: list[str]) -> dict[str, Any]:
    """How an image becomes an input, where it differs from what the backbone was trained with."""
    if data is None:
        return {}
    fields = processing_fields()
    if not isinstance(data, dict):
        faults.append(f"processing: given {shown(data)}, must be a mapping with keys of {', '.join(fields)}.")
        return {}
    read: dict[str, Any] = {}
    nearest_field = NearestNames(fields)
    for key, value in data.items():
        path = shown_path(f"processing.{key}")
        if key not in fields:
            faults.append(f"{path} is unknown; {nearest_field(key)}")
            continue
        found = faults_of(path, value, fields[key]["schema"])
        faults.extend(found)
        if not found:
            read[key] = coerced(value, fields[key]["schema"])
    for key in ("mean", "std"):
        if key in read and len(read[key]) not in (1, in_channels):
            faults.append(
                f"processing.{key} has {len(read[key])} values for {in_channels} channels; give one for each, or one"
                " for all."
            )
    if read.get("label_map"):
        faults.extend(label_map_faults("processing.label_map", read["label_map"]))
    for one, others in (("size", (*_EDGES, "max_size")), ("max_size", _EDGES)):
        for other in others:
            if read.get(one) is not None and read.get(other) is not None:
                faults.append(f"processing.{one} and processing.{other} are two ways to resize; give one of them.")
    if (read.get("keep_aspect_ratio") or (read.get("multiple_of") or 1) > 1) and not (
        read.get("keep_aspect_ratio") and read.get("size") is not None
    ):
        faults.append(
            "processing.size, keep_aspect_ratio: true and multiple_of go together; give the first two at least."
        )
    return read


def read_training(data: Any, faults: list[str]) -> dict[str, Any]:
    """{freeze: {stages: 2, norms: true}}: advice for training; `freeze` applies it."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(
            f"training: given {shown(data)}, must be a mapping such as {{freeze: {{stages: 2, norms: true}}}}."
        )
        return {}
    nearest_key = NearestNames(["freeze"])
    for key in data:
        if key != "freeze":
            faults.append(f"{shown_path(f'training.{key}')} is unknown; {nearest_key(key)}")
    freeze = data.get("freeze")
    if freeze is None:
        return {}
    if not isinstance(freeze, dict):
        faults.append(f"training.freeze: given {shown(freeze)}, must be a mapping such as {{stages: 2, norms: true}}.")
        return {}
    nearest_key = NearestNames(["stages", "norms"])
    for key in freeze:
        if key not in ("stages", "norms"):
            faults.append(f"{shown_path(f'training.freeze.{key}')} is unknown; {nearest_key(key)}")
    stages, norms = freeze.get("stages", 0), freeze.get("norms", False)
    faults.extend(faults_of("training.freeze.stages", stages, _FROZEN_STAGES))
    faults.extend(faults_of("training.freeze.norms", norms, {"type": "boolean"}))
    return {"freeze": {"stages": stages, "norms": norms}}
