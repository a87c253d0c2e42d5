"""Plain data becomes a Recipe, or one RecipeError that lists every fault with its path and its fix. No torch."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.contract.label_map import unknown_classes
from backbonekit.contract.labels import Labels
from backbonekit.contract.option_values import faults_of, shown
from backbonekit.errors import NearestNames, RecipeError
from backbonekit.recipe.backbone_options import KEYS as BACKBONE_KEYS, read_backbone
from backbonekit.recipe.forbidden import interpolations, shown_path, without_forbidden
from backbonekit.recipe.guard import plain_mapping, read_yaml_file
from backbonekit.recipe.ignored_label import with_one_ignore_label
from backbonekit.recipe.part_options import read_part, takes_classes
from backbonekit.recipe.recipe import SCHEMA_VERSION, PartRecipe, Recipe, TaskRecipe
from backbonekit.recipe.requires import KEY as REQUIRES_KEY, check_requires, required_packages
from backbonekit.recipe.schema_versions import in_current_schema, version_fault
from backbonekit.recipe.settings import read_labels, read_processing, read_target_processing, read_training
from backbonekit.registry.lookup import is_known
from backbonekit.registry.table import options, processing_fields

KEYS = ("schema_version", "backbone", "neck", "head", "heads", "labels", "processing", "adapt", "training")
MANIFEST_KEY = "packed"  # the manifest of a saved folder's weights, written after the recipe and no part of it
TASK_KEYS = ("head", "neck", "loss_weight", "labels", "processing")
_TASK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LOSS_WEIGHT = {"type": "number", "minimum": 0, "maximum": 1_000_000}
_MAX_PARTS = 16


def recipe_from_mapping(mapping: Any, *, origin: str = "the recipe") -> Recipe:
    """A recipe in its flat form, from any source: the strict reader of everything that was saved or shared.

    A recipe of an older schema version is read as well.

    Raises RecipeError with all faults: unknown names and keys, wrong types and bounds, `defaults`, `${...}`, and every
    key that would name code, trust, credentials or locations of data.
    """
    data = plain_mapping(mapping, origin=origin)
    faults = interpolations(data)
    if "defaults" in data:
        faults.append("defaults: a shared recipe is flat; compose it first (`--cfg job` prints the flat form).")
        del data["defaults"]
    return validated(in_current_schema(data), faults=faults)


def read_recipe_file(path: str | Path) -> Recipe:
    """A flat recipe in a YAML file, read behind the guard and checked as strictly. Raises RecipeError."""
    return recipe_from_mapping(read_yaml_file(path), origin=str(path))


def validated(data: Mapping[str, Any], *, faults: list[str] | None = None, notes: tuple[str, ...] = ()) -> Recipe:
    """Plain data as a Recipe. `faults` were found before and are listed together with those found here."""
    faults = [] if faults is None else list(faults)
    ignored: list[str] = []
    check_requires(data.get(REQUIRES_KEY), faults, ignored)
    beside = (MANIFEST_KEY, REQUIRES_KEY)
    clean, refused = without_forbidden({key: value for key, value in data.items() if key not in beside})
    faults.extend(refused)
    clean = with_one_ignore_label(clean, faults)
    nearest_key = NearestNames(KEYS)
    for key in clean:
        if key not in KEYS:
            faults.append(f"{shown_path(key)} is unknown; {_owner_hint(key, clean) or nearest_key(key)}")
    version = clean.get("schema_version", SCHEMA_VERSION)
    fault = version_fault(version)
    if fault is not None:
        faults.append(fault)
    labels = read_labels(clean.get("labels"), faults)
    backbone = read_backbone(clean.get("backbone"), faults, ignored)
    neck, head, heads = _read_tasks(clean, labels, faults)
    in_channels = 3 if backbone is None else backbone.in_channels
    processing = read_processing(clean.get("processing"), in_channels, faults)
    faults.extend(_unknown_classes(processing, head, heads))
    adapt = clean.get("adapt", "auto")
    faults.extend(faults_of("adapt", adapt, {"enum": ["auto", "never"]}))
    training = read_training(clean.get("training"), faults)
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
        requires=required_packages(backbone, neck, head, heads.values()),
        notes=(*notes, *ignored, *_unused_labels(labels, heads)),
    )


def _owner_hint(key: str, data: Mapping[str, Any]) -> str | None:
    """The part that has an option of this name, for a key that stands at the top of a recipe."""
    paths = [f"backbone.{key}"] if key in BACKBONE_KEYS else []
    for kind in ("head", "neck"):
        part = data.get(kind)
        name = part.get("name") if isinstance(part, dict) else part
        if isinstance(name, str) and is_known(kind, name) and key in (options(kind, name) or {}):
            paths.append(f"{kind}.{key}")
    if key in processing_fields():
        paths.append(f"processing.{key}")
    if key in ("output_stride", "drop_path_rate", "img_size"):
        paths.append(f"backbone.args.{key}")
    if not paths and key in ("lr", "learning_rate", "batch_size", "epochs", "optimizer", "weight_decay"):
        return "a recipe says nothing of how a model is trained (docs/training.md)."
    return f"did you mean {' or '.join(map(repr, paths))}?" if paths else None


def _read_tasks(
    data: dict[str, Any], labels: Labels | None, faults: list[str]
) -> tuple[tuple[PartRecipe, ...], PartRecipe | None, dict[str, TaskRecipe]]:
    if not data.get("heads"):
        head = _with_classes(data.get("head"), labels, "head", faults)
        neck = _read_neck(data.get("neck"), "neck", faults)
        return neck, None if head is None else read_part("head", head, "head", faults), {}
    if data.get("head") is not None:
        faults.append("head and heads exclude each other; with several heads, each is a task: heads.TASK.head.")
    shared = _read_neck(data.get("neck"), "neck", faults)
    heads = data["heads"]
    if not isinstance(heads, dict) or len(heads) > _MAX_PARTS:
        faults.append(f"heads: given {shown(heads)}, must be a mapping of at most {_MAX_PARTS} tasks.")
        return (), None, {}
    read = {}
    for task, parts in heads.items():
        found = _read_task(task, parts, labels, faults)
        if found is not None:
            read[task] = found
    return shared, None, read


def _unknown_classes(
    processing: Mapping[str, Any], head: PartRecipe | None, heads: Mapping[str, TaskRecipe]
) -> list[str]:
    """Labels of `processing.label_map` that no head has, and of a task's own that its head does not have."""
    tasks = heads or {"": TaskRecipe(head)}
    own = {name: task for name, task in tasks.items() if task.processing.get("label_map") is not None}
    maps = [("processing", processing, [task for name, task in tasks.items() if name not in own])]
    maps += [(f"heads.{name}.processing", task.processing, [task]) for name, task in own.items()]
    faults = []
    for path, where, readers in maps:
        known = [task.num_classes for task in readers if task.num_classes is not None]
        if known and where.get("label_map"):
            # A model of one class tells two labels apart.
            faults += unknown_classes(f"{path}.label_map", where["label_map"], max(2, *known))
    return faults


def _unused_labels(labels: Labels | None, heads: Mapping[str, TaskRecipe]) -> tuple[str, ...]:
    """A note on names that count in no task."""
    shared = {name: task.num_classes for name, task in heads.items() if task.labels is None}
    if labels is None or not heads or {None, len(labels.names)} & set(shared.values()):
        return ()
    counts = ", ".join(f"{name}: {count}" for name, count in shared.items()) or "all tasks have their own"
    return (
        f"labels: {len(labels.names)} names, and no task has as many classes ({counts}), so they name nothing. The fix:"
        " heads.TASK.labels.",
    )


def _read_task(task: str, parts: Any, labels: Labels | None, faults: list[str]) -> TaskRecipe | None:
    path = shown_path(f"heads.{task}")
    if not _TASK_NAME.fullmatch(task):
        faults.append(f"{path}: a task's name has letters, digits and underscores, a letter first.")
        return None
    if not isinstance(parts, dict):
        faults.append(f"{path}: given {shown(parts)}, must be a mapping such as {{head: {{name: fcn}}}}.")
        return None
    nearest_key = NearestNames(TASK_KEYS)
    for key in parts:
        if key not in TASK_KEYS:
            faults.append(f"{shown_path(f'{path}.{key}')} is unknown; {nearest_key(key)}")
    neck = _read_neck(parts.get("neck"), f"{path}.neck", faults)
    weight = parts.get("loss_weight", 1.0)
    weight_faults = faults_of(f"{path}.loss_weight", weight, _LOSS_WEIGHT)
    faults.extend(weight_faults)
    if parts.get("head") is None:
        faults.append(f"{path}.head is missing: a task is what its head predicts.")
        return None
    processing = read_target_processing(parts.get("processing"), faults, f"{path}.processing")
    own = read_labels(parts.get("labels"), faults, f"{path}.labels")
    if own is not None:
        head = _with_classes(parts["head"], own, f"{path}.head", faults, labels_path=f"{path}.labels")
        name = head.get("name") if isinstance(head, dict) else head
        if not takes_classes(name):
            faults.append(f"{path}.labels: {name} predicts no classes, so the names have no use. Leave them out.")
    else:
        # Labels of the model only fill in what is not set, for a task of other classes. Category ids are those of all.
        checked = labels is not None and labels.category_ids is not None
        head = _with_classes(parts["head"], labels, f"{path}.head" if checked else None, faults)
    part = read_part("head", head, f"{path}.head", faults)
    return None if part is None or weight_faults else TaskRecipe(part, neck, float(weight), own, processing)


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


def _with_classes(
    head: Any, labels: Labels | None, path: str | None, faults: list[str], *, labels_path: str = "labels"
) -> Any:
    """A head whose number of classes follows from the labels; a conflict is a fault where `path` is given."""
    if isinstance(head, str):
        head = {"name": head}
    if not isinstance(head, dict) or labels is None or not takes_classes(head.get("name")):
        return head
    count = head.get("num_classes")
    if count is None:
        return {**head, "num_classes": len(labels.names)}
    if path is not None and isinstance(count, int) and count != len(labels.names):
        faults.append(
            f"{path}.num_classes is {shown(count)} and {labels_path} names {len(labels.names)} classes; leave "
            f"num_classes out, or set {labels_path} to null or to {shown(count)} names."
        )
    return head
