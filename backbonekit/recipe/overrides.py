"""Overrides: Hydra's grammar on every argument but `model=NAME`, applied by us to plain data.

`backbone=`, `neck=`, `head=` and `head.criterion=` with a name swap the part; anything else edits a key. Swaps come
first, whatever the order on the command line, so that an option given beside a swap belongs to the new part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError
from backbonekit.recipe.config_roots import GROUP
from backbonekit.recipe.guard import plain_mapping
from backbonekit.recipe.hydra_session import private_hydra
from backbonekit.recipe.layering import Layering
from backbonekit.recipe.trace import Trace

_PARTS = ("backbone", "neck", "head", "criterion")
_MAX_LENGTH = 20_000  # characters of one override; the names of a few hundred classes fit


@dataclass(frozen=True, slots=True)
class Edit:
    """One override: `path` without the leading `model`, and the value; `deletes`: a `~key`, back to its default."""

    text: str
    path: tuple[str, ...]
    value: Any = None
    deletes: bool = False

    @property
    def is_swap(self) -> bool:
        return isinstance(self.value, str) and self.path[-1] in _PARTS and _is_part_path(self.path)

    @property
    def is_indexed(self) -> bool:
        return any(step.isdecimal() for step in self.path)


def parse_overrides(overrides: Sequence[str]) -> tuple[list[Edit], list[str]]:
    """The edits that could be read, and a fault for each override that could not."""
    if isinstance(overrides, str):
        return [], [f"overrides must be a list such as [{shown(overrides)}], not one text."]
    edits, faults = [], []
    for text in overrides:
        try:
            edits.append(_edit(text, parse_override(text)))
        except RecipeError as error:
            faults.extend(error.faults)
    return edits, faults


def parse_override(text: Any) -> Override:
    """One override in Hydra's own form. Raises RecipeError for what is no grammar, with what was probably meant."""
    if not isinstance(text, str):
        raise RecipeError(f"the override {shown(text)} is no text of the form key=value.")
    if len(text) > _MAX_LENGTH:
        raise RecipeError(f"the override {shown(text)} is longer than {_MAX_LENGTH:,} characters; use a YAML file.")
    with private_hydra():
        try:
            return OverridesParser.create().parse_override(text)
        except (HydraException, OmegaConfBaseException, ValueError, AssertionError, RecursionError) as error:
            raise RecipeError(f"{shown(text)} could not be read. {_grammar_hint(text)}") from error


def apply_edits(layering: Layering, edits: Sequence[Edit], trace: Trace | None = None) -> list[str]:
    """Applies all edits; returns the faults of those that do not fit."""
    faults: list[str] = []
    rest: dict[str, Any] = {}
    put: list[Edit] = []
    for edit in edits:
        if edit.is_swap and not edit.is_indexed:
            try:
                layering.lay(_nested(edit.path, edit.value))
            except RecipeError as error:
                faults.extend(error.faults)
            _traced(trace, [edit], _nested(edit.path, edit.value), layering)
        elif not edit.deletes and not edit.is_indexed:
            faults.extend(_put(rest, edit))
            put.append(edit)
    try:
        layering.lay(rest)
    except RecipeError as error:
        faults.extend(error.faults)
    _traced(trace, put, rest, layering)
    for edit in edits:
        if edit.deletes:
            faults.extend(_delete(layering.model, edit))
        elif edit.is_indexed:
            try:
                faults.extend(_put_indexed(layering, edit))
            except RecipeError as error:
                faults.extend(error.faults)
        if edit.deletes or edit.is_indexed:
            _traced(trace, [edit], {} if edit.deletes else _nested(edit.path, edit.value), layering)
    return faults


def _traced(trace: Trace | None, edits: Sequence[Edit], said: dict[str, Any], layering: Layering) -> None:
    if trace is not None and edits:
        texts = [(edit.text, edit.path) for edit in edits]
        trace.laid("override", " ".join(text for text, _ in texts), said, layering.model, edits=texts)


def _edit(text: str, override: Override) -> Edit:
    # Hydra 1.4 writes one value of a list as key[0], 1.3 as key.0.
    key = re.sub(r"\[(\d+)\]", r".\1", override.key_or_group.replace("/", "."))
    if override.package is not None and override.package.split(".")[-1] != key.split(".")[-1]:
        raise RecipeError(f"{shown(text)}: packages (@) are for defaults lists; write {key}=....")
    path = tuple(key.split("."))
    if path == (GROUP,):
        raise RecipeError(f"{shown(text)}: which recipe to start from is the first argument, not an override.")
    path = path[1:] if path[0] == GROUP else path
    if override.is_delete():
        return Edit(text, path, deletes=True)
    if override.is_sweep_override():
        raise RecipeError(f"{shown(text)} has several values: a list is written {key}=[a,b]; a sweep needs -m.")
    value = plain_mapping({key: override.value()}, origin=text)[key]
    return Edit(text, path, value)


def _is_part_path(path: tuple[str, ...]) -> bool:
    if path[0] == "heads":
        path = path[2:]
    return path in (("backbone",), ("neck",), ("head",), ("head", "criterion"))


def _nested(path: Sequence[str], value: Any) -> Any:
    for step in reversed(path):
        value = {step: value}
    return value


def _put(tree: dict[str, Any], edit: Edit) -> list[str]:
    """Adds one edit to the layer that all of them make together."""
    node = tree
    for step in edit.path[:-1]:
        inner = node.setdefault(step, {})
        if not isinstance(inner, dict):
            return [f"{shown(edit.text)}: {step} was set to {shown(inner)} beside it; give one of the two."]
        node = inner
    last = edit.path[-1]
    if isinstance(node.get(last), dict) and isinstance(edit.value, dict):
        node[last] = {**node[last], **edit.value}
    else:
        node[last] = edit.value
    return []


def _put_indexed(layering: Layering, edit: Edit) -> list[str]:
    """An edit with a number in its path: one of several necks, or one value of a list."""
    node: Any = layering.model
    for position, step in enumerate(edit.path):
        if step == "neck" and isinstance(node, dict) and edit.path[position + 1].isdecimal():
            return _put_neck(layering, node, edit, position + 1)
        is_last = position == len(edit.path) - 1
        if isinstance(node, list):
            if not step.isdecimal() or int(step) >= len(node):
                return [f"{shown(edit.text)}: the list has {len(node)} values, numbered from 0."]
            if is_last:
                node[int(step)] = edit.value
                return []
            node = node[int(step)]
        elif isinstance(node, dict):
            if is_last:
                node[step] = edit.value
                return []
            node = node.get(step)
        else:
            return [f"{shown(edit.text)}: {'.'.join(edit.path[:position])} is no list; set it as a whole."]
    return []


def _put_neck(layering: Layering, holder: dict[str, Any], edit: Edit, position: int) -> list[str]:
    if position >= len(edit.path):
        return [f"{shown(edit.text)}: which neck is meant?"]
    index = int(edit.path[position])
    count = len(holder["neck"]) if isinstance(holder.get("neck"), list) else int(holder.get("neck") is not None)
    if index >= count:
        return [f"{shown(edit.text)}: there {'is' if count == 1 else 'are'} {count} neck{'s' * (count != 1)} (from 0)."]
    part = _nested(edit.path[position + 1 :], edit.value)
    layering.lay_neck_item(holder, index, part, ".".join(edit.path[: position + 1]))
    return []


def _delete(model: dict[str, Any], edit: Edit) -> list[str]:
    if edit.path == ("backbone",):
        return [f"{shown(edit.text)}: a recipe without a backbone is none; swap it by backbone=NAME."]
    node: Any = model
    for step in edit.path[:-1]:
        node = node.get(step) if isinstance(node, dict) else None
    if not isinstance(node, dict) or edit.path[-1] not in node:
        return [f"{shown(edit.text)}: there is no {'.'.join(edit.path)} to leave out."]
    del node[edit.path[-1]]
    return []


def _grammar_hint(text: str) -> str:
    key, equals, value = text.partition("=")
    if not equals:
        return "An override is key=value; a list with spaces must be in quotes: 'key=[1, 2]'."
    if value.lstrip().startswith("("):
        return f"A list is written in square brackets: '{shown(key, quotes=False)}=[1,2]'."
    if value.count("[") != value.count("]") or value.count("{") != value.count("}"):
        return "The shell splits at spaces; put the whole argument in quotes: 'key=[1, 2]'."
    if "[" in key:
        return "One value of a list is key.0=value."
    return "A value with special characters is written in quotes within quotes: \"key='a=b'\"."
