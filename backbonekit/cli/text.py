"""Text for the terminal: tables, and names that cannot steer it."""

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

import yaml

_NARROWEST = 12  # columns that a wrapped cell keeps
_GAP = 2  # spaces between columns


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell; those in `right` are flush right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def fitted_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table no wider than the terminal: the widest columns are wrapped. As wide as it is where there is none."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    limit = get_terminal_size((0, 0)).columns
    room = (limit or sum(widths) + _GAP * len(widths)) - _GAP * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines = []
    for row in rows:
        cells = [wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(row, widths, strict=True)]
        height = max(map(len, cells))
        lines += list(zip(*(cell + [""] * (height - len(cell)) for cell in cells), strict=True))
    return table(header, lines, right=right)


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
