"""Plain data becomes a Recipe, or one RecipeError that tells every fault with its path and its fix. No torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.contract.labels import Labels
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.backbone_options import read_backbone
from backbonekit.recipe.forbidden import interpolations, shown_path, without_forbidden
from backbonekit.recipe.guard import plain_mapping, read_yaml_file
from backbonekit.recipe.part_options import read_part
from backbonekit.recipe.recipe import SCHEMA_VERSION, PartRecipe, Recipe, TaskRecipe
from backbonekit.recipe.values import coerced, faults_of, shown
from backbonekit.registry.table import processing_fields

KEYS = ("schema_version", "backbone", "neck", "head", "heads", "labels", "processing", "adapt", "training")
_TASK_KEYS = ("head", "neck", "loss_weight")
_TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LOSS_WEIGHT = {"type": "number", "minimum": 0, "maximum": 1_000_000}
_FROZEN_STAGES = {"type": "integer", "minimum": 0, "maximum": 1_000}
_MAX_PARTS = 16
_MAX_LABELS = 100_000
_MAX_LABEL = 500  # characters; ImageNet's longest, with all its synonyms, has 131


def recipe_from_mapping(mapping: Any, *, origin: str = "the recipe") -> Recipe:
    """A recipe in its flat form, from whoever: the strict reader of everything that was saved or shared.

    Raises RecipeError with all faults: unknown names and keys, wrong types and bounds, `defaults`, `${...}`, and every
    key that would name code, trust, credentials or places.
    """
    data = plain_mapping(mapping, origin=origin)
    faults = interpolations(data)
    if "defaults" in data:
        faults.append("defaults: a shared recipe is flat; compose it first (`--cfg job` prints the flat form).")
        del data["defaults"]
    return validated(data, faults=faults)


def read_recipe_file(path: str | Path) -> Recipe:
    """A flat recipe in a YAML file, read behind the guard and checked as strictly. Raises RecipeError."""
    return recipe_from_mapping(read_yaml_file(path), origin=str(path))


def validated(data: Mapping[str, Any], *, faults: list[str] | None = None, notes: tuple[str, ...] = ()) -> Recipe:
    """Plain data as a Recipe. `faults` were found before and are told together with those found here."""
    faults = [] if faults is None else list(faults)
    clean, refused = without_forbidden(dict(data))
    faults.extend(refused)
    for key in clean:
        if key not in KEYS:
            faults.append(f"{shown_path(key)} is unknown; {nearest(key, KEYS)}")
    version = clean.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        faults.append(
            f"schema_version: given {shown(version)}, this version of backbonekit reads {SCHEMA_VERSION}; "
            f"a newer backbonekit may read it."
        )
    labels = _read_labels(clean.get("labels"), faults)
    backbone = read_backbone(clean.get("backbone"), faults)
    neck, head, heads = _read_tasks(clean, labels, faults)
    in_channels = 3 if backbone is None else backbone.in_channels
    processing = _read_processing(clean.get("processing"), in_channels, faults)
    adapt = clean.get("adapt", "auto")
    faults.extend(faults_of("adapt", adapt, {"enum": ["auto", "never"]}))
    training = _read_training(clean.get("training"), faults)
    if faults:
        raise RecipeError(list(dict.fromkeys(faults)))
    assert backbone is not None
    return Recipe(
        backbone=backbone,
        neck=neck,
        head=head,
        heads=heads,
        labels=labels,
        processing=processing,
        adapt=adapt,
        training=training,
        notes=notes,
    )


def _read_tasks(
    data: dict[str, Any], labels: Labels | None, faults: list[str]
) -> tuple[tuple[PartRecipe, ...], PartRecipe | None, dict[str, TaskRecipe]]:
    if not data.get("heads"):
        head = _with_classes(data.get("head"), labels, "head", faults)
        neck = _read_neck(data.get("neck"), "neck", faults)
        return neck, None if head is None else read_part("head", head, "head", faults), {}
    for key in ("head", "neck"):
        if data.get(key) is not None:
            faults.append(
                f"{key} and heads exclude each other; with several heads, each has its own: heads.TASK.{key}."
            )
    heads = data["heads"]
    if not isinstance(heads, dict) or len(heads) > _MAX_PARTS:
        faults.append(f"heads: given {shown(heads)}, must be a mapping of at most {_MAX_PARTS} tasks.")
        return (), None, {}
    read = {}
    for task, parts in heads.items():
        found = _read_task(task, parts, labels, faults)
        if found is not None:
            read[task] = found
    return (), None, read


def _read_task(task: str, parts: Any, labels: Labels | None, faults: list[str]) -> TaskRecipe | None:
    path = shown_path(f"heads.{task}")
    if not _TASK_NAME.fullmatch(task):
        faults.append(f"{path}: a task's name has letters, digits and underscores, a letter first.")
        return None
    if not isinstance(parts, dict):
        faults.append(f"{path}: given {shown(parts)}, must be a mapping such as {{head: {{name: fcn}}}}.")
        return None
    for key in parts:
        if key not in _TASK_KEYS:
            faults.append(f"{shown_path(f'{path}.{key}')} is unknown; {nearest(key, _TASK_KEYS)}")
    neck = _read_neck(parts.get("neck"), f"{path}.neck", faults)
    weight = parts.get("loss_weight", 1.0)
    weight_faults = faults_of(f"{path}.loss_weight", weight, _LOSS_WEIGHT)
    faults.extend(weight_faults)
    if parts.get("head") is None:
        faults.append(f"{path}.head is missing: a task is what its head answers.")
        return None
    # Each task may have classes of its own: labels only fill in what is not said.
    head = _with_classes(parts["head"], labels, None, faults)
    part = read_part("head", head, f"{path}.head", faults)
    return None if part is None or weight_faults else TaskRecipe(part, neck, float(weight))


def _read_neck(data: Any, path: str, faults: list[str]) -> tuple[PartRecipe, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        part = read_part("neck", data, path, faults)
        return () if part is None else (part,)
    if len(data) > _MAX_PARTS:
        faults.append(f"{path}: given {len(data)} parts; {_MAX_PARTS} is the limit.")
        return ()
    parts = [read_part("neck", item, f"{path}.{index}", faults) for index, item in enumerate(data)]
    return tuple(part for part in parts if part is not None)


def _with_classes(head: Any, labels: Labels | None, path: str | None, faults: list[str]) -> Any:
    """A head whose number of classes follows from the labels; a conflict is a fault where `path` is given."""
    if isinstance(head, str):
        head = {"name": head}
    if not isinstance(head, dict) or labels is None:
        return head
    count = head.get("num_classes")
    if count is None:
        return {**head, "num_classes": len(labels.names)}
    if path is not None and isinstance(count, int) and count != len(labels.names):
        faults.append(
            f"{path}.num_classes is {shown(count)} and labels names {len(labels.names)} classes; leave num_classes out, "
            f"or set labels to null or to {shown(count)} names."
        )
    return head


def _read_labels(data: Any, faults: list[str]) -> Labels | None:
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


def _read_processing(data: Any, in_channels: int, faults: list[str]) -> dict[str, Any]:
    if data is None:
        return {}
    fields = processing_fields()
    if not isinstance(data, dict):
        faults.append(f"processing: given {shown(data)}, must be a mapping with keys of {', '.join(fields)}.")
        return {}
    read: dict[str, Any] = {}
    for key, value in data.items():
        path = shown_path(f"processing.{key}")
        if key not in fields:
            faults.append(f"{path} is unknown; {nearest(key, fields)}")
            continue
        found = faults_of(path, value, fields[key]["schema"])
        faults.extend(found)
        if not found:
            read[key] = coerced(value, fields[key]["schema"])
    for key in ("mean", "std"):
        if key in read and len(read[key]) not in (1, in_channels):
            faults.append(
                f"processing.{key} has {len(read[key])} values, one for each of {in_channels} channels is right."
            )
    if read.get("size") is not None:
        for key in ("shortest_edge", "longest_edge"):
            if read.get(key) is not None:
                faults.append(f"processing.size and processing.{key} are two ways to resize; give one of them.")
    return read


def _read_training(data: Any, faults: list[str]) -> dict[str, Any]:
    """{freeze: {stages: 2, norms: true}}: advice that is applied by who trains, when asked."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(
            f"training: given {shown(data)}, must be a mapping such as {{freeze: {{stages: 2, norms: true}}}}."
        )
        return {}
    for key in data:
        if key != "freeze":
            faults.append(f"{shown_path(f'training.{key}')} is unknown; {nearest(key, ['freeze'])}")
    freeze = data.get("freeze")
    if freeze is None:
        return {}
    if not isinstance(freeze, dict):
        faults.append(f"training.freeze: given {shown(freeze)}, must be a mapping such as {{stages: 2, norms: true}}.")
        return {}
    for key in freeze:
        if key not in ("stages", "norms"):
            faults.append(f"{shown_path(f'training.freeze.{key}')} is unknown; {nearest(key, ['stages', 'norms'])}")
    stages, norms = freeze.get("stages", 0), freeze.get("norms", False)
    faults.extend(faults_of("training.freeze.stages", stages, _FROZEN_STAGES))
    faults.extend(faults_of("training.freeze.norms", norms, {"type": "boolean"}))
    return {"freeze": {"stages": stages, "norms": norms}}
