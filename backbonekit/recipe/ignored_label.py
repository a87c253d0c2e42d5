"""Recipes that write the ignored label at a criterion: it is a matter of the targets, so it moves to `processing`."""

from collections.abc import Iterator, Mapping
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.recipe.forbidden import shown_path

_KEY = "ignore_label"


def with_one_ignore_label(data: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """The same recipe with `head.criterion.ignore_label` as `processing.ignore_label`; of several tasks that differ, as
    that of each task. Two values for the same pixels are a fault."""
    found = {path: head["criterion"][_KEY] for path, head in _heads(data) if _KEY in _criterion(head)}
    found = {path: label for path, label in found.items() if label is not None}
    moved = {key: _without(key, value) for key, value in data.items()}
    processing = data.get("processing") or {}
    if not found or not isinstance(processing, Mapping):
        return moved
    given = _given(data)
    label = next(iter(found.values()))
    if all(other == label for other in (*found.values(), *given.values())):
        return {**moved, "processing": {**processing, _KEY: label}}
    if "heads" in moved and isinstance(moved["heads"], Mapping):
        return {**moved, "heads": _with_own_labels(moved["heads"], found, given, faults)}
    _check_same(f"head.criterion.{_KEY}", label, f"processing.{_KEY}", given, faults)
    return moved


def _given(data: Mapping[str, Any]) -> dict[str, Any]:
    """The labels that stand in `processing`, of the model and of its tasks, by their path."""
    holders = {"processing": data}
    if isinstance(data.get("heads"), Mapping):
        holders |= {f"heads.{task}.processing": parts for task, parts in data["heads"].items()}
    given: dict[str, Any] = {}
    for path, holder in holders.items():
        processing = holder.get("processing") if isinstance(holder, Mapping) else None
        if isinstance(processing, Mapping) and processing.get(_KEY) is not None:
            given[f"{path}.{_KEY}"] = processing[_KEY]
    return given


def _with_own_labels(
    tasks: Mapping[str, Any], found: Mapping[str, Any], given: Mapping[str, Any], faults: list[str]
) -> dict[str, Any]:
    """The tasks with the labels of their criteria as their own."""
    own = dict(tasks)
    for task, parts in tasks.items():
        path = f"heads.{task}.head"
        if path not in found:
            continue
        _check_same(f"{path}.criterion.{_KEY}", found[path], f"heads.{task}.processing.{_KEY}", given, faults)
        own[task] = {**parts, "processing": {**(parts.get("processing") or {}), _KEY: found[path]}}
    return own


def _check_same(path: str, label: Any, other: str, given: Mapping[str, Any], faults: list[str]) -> None:
    if given.get(other, label) != label:
        faults.append(
            f"{shown_path(path)} is {shown(label)} and {shown_path(other)} is {shown(given[other])}; pixels that are "
            f"ignored have one label. The fix: {shown_path(other)} alone."
        )


def _heads(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(data.get("head"), Mapping):
        yield "head", data["head"]
    if isinstance(data.get("heads"), Mapping):
        for task, parts in data["heads"].items():
            if isinstance(parts, Mapping) and isinstance(parts.get("head"), Mapping):
                yield f"heads.{task}.head", parts["head"]


def _criterion(head: Mapping[str, Any]) -> Mapping[str, Any]:
    criterion = head.get("criterion")
    return criterion if isinstance(criterion, Mapping) else {}


def _without(key: str, value: Any) -> Any:
    """The value of a recipe's `head` or `heads` without the ignored labels of its criteria."""
    if key == "heads" and isinstance(value, Mapping):
        return {
            task: {name: _without(name, part) for name, part in parts.items()} if isinstance(parts, Mapping) else parts
            for task, parts in value.items()
        }
    if key != "head" or not isinstance(value, Mapping) or _KEY not in _criterion(value):
        return value
    kept = {name: option for name, option in _criterion(value).items() if name != _KEY}
    return {**value, "criterion": kept}
