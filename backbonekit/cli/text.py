"""Text for the terminal: tables within its width, and names that cannot steer it."""

import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Any

import yaml

from backbonekit.contract.plain_text import aligned

_NARROWEST = 6  # columns that are left of a cell of words in a narrow terminal
_DESCRIPTION = 30  # columns that a description beside its row has at least
_GAP = 2  # spaces between columns


def terminal_width() -> int | None:
    """The columns of the terminal; None where standard output is a file or a pipe, which have no edge. The variable
    COLUMNS overrules both."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    widest: int | None = None,
) -> str:
    """Columns as wide as their widest cell; those in `right` are flush right. Cells of words are broken into lines
    where the terminal is narrower, or a cell longer than `widest`."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    if widest is not None:
        widths = [width if column in right else min(width, widest) for column, width in enumerate(widths)]
    widths = _fitting(widths, [header, *rows], terminal_width(), right)

    def lines(row: Sequence[str]) -> list[tuple[str, ...]]:
        columns = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
        return list(zip_longest(*columns, fillvalue=""))

    return aligned(lines(header), [one for row in rows for one in lines(row)], right=right)


def _fitting(widths: list[int], rows: Sequence[Sequence[str]], total: int | None, right: Collection[int]) -> list[int]:
    """The widths with the columns of words narrowed until a row fits into `total`: first no word is broken; where that
    does not suffice, names are."""
    words = [column for column in range(len(widths)) if column not in right]
    whole = {column: max(_longest_word(row[column]) for row in rows) for column in words}
    return _within(_within(widths, total, whole), total, dict.fromkeys(words, _NARROWEST))


def _longest_word(cell: str) -> int:
    """Its characters, with the indent of the cell."""
    return len(cell) - len(cell.lstrip()) + max(map(len, cell.split()), default=0)


def _within(widths: list[int], total: int | None, narrowest: Mapping[int, int]) -> list[int]:
    """The widths with the widest of the columns in `narrowest` narrowed, as far as it says, until the row fits into
    `total`."""
    widths = list(widths)
    while total is not None and sum(widths) + 2 * (len(widths) - 1) > total:
        wide = [column for column, least in narrowest.items() if widths[column] > least]
        if not wide:
            break
        widths[max(wide, key=lambda column: widths[column])] -= 1
    return widths


def _broken(cell: str, width: int) -> list[str]:
    """A cell in lines of at most `width`; further lines are indented as the first one is."""
    if len(cell) <= width:
        return [cell]
    indent = " " * min(len(cell) - len(cell.lstrip()), width // 2)
    found = wrap(cell.strip(), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return found or [""]


def described_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """A table whose last column describes the row: cut at the terminal's edge, or below the row where little is left of
    its width."""
    limit = terminal_width()
    if limit is None:
        return table(header, rows, right=right)
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header) - 1)]
    room = limit - sum(widths) - _GAP * len(widths)
    if room >= _DESCRIPTION:
        return table(header, [(*row[:-1], _cut(row[-1], room)) for row in rows], right=right)
    widths = _fitting(widths, [row[:-1] for row in (header, *rows)], limit, right)
    heights = [
        max(len(_broken(cell, width)) for cell, width in zip(row[:-1], widths, strict=True)) for row in (header, *rows)
    ]
    lines = table(header[:-1], [row[:-1] for row in rows], right=right).splitlines()
    text = lines[: heights[0] + 1]
    del lines[: heights[0] + 1]
    for row, height in zip(rows, heights[1:], strict=True):
        text += [*lines[:height], f"    {_cut(row[-1], limit - 4)}"]
        del lines[:height]
    return "\n".join(text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3].rstrip()}..."


def value_text(value: Any) -> str:
    """A value as a recipe has it, on one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).removesuffix("\n...\n").strip()
    )


def type_text(schema: Any) -> str:
    """A JSON Schema in few words: integer 1 to 16384, or one of several."""
    if "anyOf" in schema:
        return " or ".join(type_text(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    text = str(schema.get("type", "any"))
    if "minimum" in schema:
        text += f" {schema['minimum']:g} to {schema.get('maximum', float('inf')):g}"
    return text


def printable(text: str) -> str:
    """Text with control characters escaped: a name from a shared recipe must not steer the terminal."""
    return "".join(
        character if character == "\n" or character.isprintable() else repr(character)[1:-1] for character in text
    )
