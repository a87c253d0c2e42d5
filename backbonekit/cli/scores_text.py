"""Scores for the terminal: the main metric, the whole summary, and a table of each class within the width."""

import math
from collections.abc import Sequence

from backbonekit.cli.text import printable, table
from backbonekit.contract.scores import ClassTable, Scores, lower_is_better

_MOST_CLASSES = 40
_COUNTS = ("objects", "images", "segments", "annotated")  # columns of whole numbers
_SHORTEST_NAME = 8


def scores_text(scores: Scores, *, width: int = 100) -> str:
    """`width`: columns of the terminal."""
    name, value = scores.main
    better = " (lower is better)" if lower_is_better(name) else ""
    images = "1 image" if scores.num_images == 1 else f"{scores.num_images:,} images"
    parts = [f"{name} {_number(value)} on {images}{better}", _summary(scores, width)]
    parts += [_class_table(one, width) for one in scores.per_class if one.rows]
    return printable("\n\n".join(parts))


def _summary(scores: Scores, width: int) -> str:
    """All metrics, in as many columns as fit."""
    cells = [(name, _number(value)) for name, value in scores.summary.items()]
    widest = max(len(name) for name, _ in cells), max(len(value) for _, value in cells)
    texts = [f"{name.ljust(widest[0])}  {value.rjust(widest[1])}" for name, value in cells]
    columns = max(1, min(3, (width + 4) // (len(texts[0]) + 4)))
    height = math.ceil(len(texts) / columns)
    lines = ["    ".join(texts[row::height]).rstrip() for row in range(height)]
    return "\n".join(lines)


def _class_table(one: ClassTable, width: int) -> str:
    numbers = [
        tuple(_cell(column, value) for column, value in zip(one.columns, row[2], strict=True)) for row in one.rows
    ]
    needed = sum(
        max(len(column), *(len(row[index]) for row in numbers)) + 2 for index, column in enumerate(one.columns)
    )
    longest = max(_SHORTEST_NAME, width - needed)
    order = range(len(one.rows))
    note = ""
    if len(one.rows) > _MOST_CLASSES:
        order = sorted(order, key=lambda index: _sorting(one.rows[index][2][0]))[:_MOST_CLASSES]
        note = f"\nthe {_MOST_CLASSES} lowest of {len(one.rows)} classes; results=FILE.json has all"
    rows: list[Sequence[str]] = [(_cut(one.rows[index][0], longest), *numbers[index]) for index in order]
    right = tuple(range(1, len(one.columns) + 1))
    return table((one.title or "class", *one.columns), rows, right=right) + note


def _sorting(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _cell(column: str, value: float) -> str:
    return f"{value:,.0f}" if column in _COUNTS and math.isfinite(value) else _number(value)


def _number(value: float) -> str:
    """Of a share three digits; of a large error fewer."""
    return "-" if not math.isfinite(value) else f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def _cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 3]}..."
