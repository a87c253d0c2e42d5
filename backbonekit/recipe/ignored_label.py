"""Recipes that write the ignored label at a criterion: it is a matter of the targets, so it moves to `processing`."""

from collections.abc import Iterator, Mapping
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.recipe.forbidden import shown_path

_KEY = "ignore_label"


def with_one_ignore_label(data: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """The same recipe with `head.criterion.ignore_label` as `processing.ignore_label`. Two different values are a
    fault."""
    found = {path: head["criterion"][_KEY] for path, head in _heads(data) if _KEY in _criterion(head)}
    found = {f"{path}.criterion.{_KEY}": value for path, value in found.items() if value is not None}
    moved = {key: _without(key, value) for key, value in data.items()}
    processing = data.get("processing") or {}
    if not found or not isinstance(processing, Mapping):
        return moved
    path, label = next(iter(found.items()))
    given = {f"processing.{_KEY}": processing.get(_KEY)} if processing.get(_KEY) is not None else {}
    for other, value in {**found, **given}.items():
        if value != label:
            faults.append(
                f"{shown_path(path)} is {shown(label)} and {shown_path(other)} is {shown(value)}; pixels that are "
                f"ignored have one label. The fix: processing.{_KEY} alone."
            )
            return moved
    return {**moved, "processing": {**processing, _KEY: label}}


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
