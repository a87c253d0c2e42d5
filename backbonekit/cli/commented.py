"""A recipe as YAML for people: flat, with all options, each below a comment that says what it does."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from backbonekit.cli.text import type_text, value_text
from backbonekit.recipe.dump import dump_value
from backbonekit.recipe.explain import option_of
from backbonekit.recipe.key_docs import key_doc
from backbonekit.recipe.leaves import ABSENT
from backbonekit.recipe.recipe import Recipe
from backbonekit.registry.table import summary

_WIDTH = 120
_LIST_WIDTH = 100  # of a list of values, which is broken after the first value that exceeds it
_INDENT = "  "
_KINDS = ("neck", "head", "criterion")


def commented(recipe: Recipe, *, title: list[str]) -> str:
    """The text. What it means is the same recipe. `title`: the comment at its top, a line each."""
    lines = [line if line.startswith("# yaml-language-server") else _wrapped(line, "") for line in title]
    flat = recipe.to_dict()
    for key, value in flat.items():
        lines += ["", *_entry(flat, key, value, "")]
    return "\n".join(lines) + "\n"


def _entry(flat: Mapping[str, Any], path: str, value: Any, indent: str) -> Iterator[str]:
    """A key with its comment and its value, and everything below it."""
    key = path.rpartition(".")[2]
    comment = about(flat, path)
    if comment:
        yield _wrapped(comment, indent)
    if isinstance(value, Mapping) and value:
        yield f"{indent}{dump_value(key).strip()}:"
        yield from _below(flat, path, value, indent + _INDENT)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        yield f"{indent}{dump_value(key).strip()}:"
        for index, item in enumerate(value):
            below = "\n".join(_below(flat, f"{path}.{index}", item, indent + _INDENT)).splitlines()
            start = next(number for number, line in enumerate(below) if not line.lstrip().startswith("#"))
            yield from (line.replace(_INDENT, "", 1) for line in below[:start])
            yield f"{indent}- {below[start].strip()}"
            yield from below[start + 1 :]
    else:
        yield textwrap.indent(dump_value({key: value}, width=_LIST_WIDTH - len(indent)).rstrip("\n"), indent)


def _below(flat: Mapping[str, Any], path: str, mapping: Mapping[str, Any], indent: str) -> Iterator[str]:
    steps = path.split(".")
    kind = next((step for step in reversed(steps) if not step.isdecimal()), "")
    for key, value in mapping.items():
        if key == "name" and kind in _KINDS:
            # The name comes first, so that what follows is read as the options of this part.
            if summary(kind, value):
                yield _wrapped(summary(kind, value), indent)
            yield f"{indent}name: {value_text(value)}"
        else:
            yield from _entry(flat, f"{path}.{key}", value, indent)


def about(flat: Mapping[str, Any], path: str) -> str:
    """What a key does, the values that it takes and its default; "" where nothing is known of it."""
    option = option_of(flat, path)
    if option is None:
        return key_doc(path)
    default = "" if option.default is ABSENT else f", default {value_text(option.default)}"
    values = f"({type_text(option.schema)}{default})"
    doc = option.doc or key_doc(path)
    return f"{doc} {values}" if doc else values.strip("()")


def _wrapped(text: str, indent: str) -> str:
    start = f"{indent}# "
    lines = textwrap.wrap(text.removeprefix("# "), _WIDTH - len(start), break_on_hyphens=False, break_long_words=False)
    return "\n".join(start + line for line in lines)
