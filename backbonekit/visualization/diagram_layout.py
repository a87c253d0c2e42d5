"""Where each box, arrow and word of a diagram stands: shapes in pixels, which SVG and PNG draw alike.

A tree from the top down. What an arrow carries stands in a frame in its middle; arrows are straight and vertical, since
a box is as wide as all that leaves and enters it.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from backbonekit.visualization.diagram import Arrow, Box, Diagram, Kind, plain
from backbonekit.visualization.text import font

INK, PALE = "#1f2328", "#57606a"
_FILLS: dict[Kind, tuple[str, str]] = {  # fill and border
    "image": ("#eceff3", "#8c959f"),
    "backbone": ("#dbe7ff", "#4269d0"),
    "neck": ("#dff3e6", "#2f8f46"),
    "head": ("#fdeecf", "#b97d00"),
    "result": ("#efe4fc", "#8a46d8"),
    "criterion": ("#ffffff", "#8c959f"),
}
_INSERTED, _MARK = "#d1242f", "#d1242f"
_TITLE, _TEXT, _SMALL = 14, 11, 10  # font sizes
_LEADING = 1.45  # line heights
_MARGIN, _PADDING, _GAP, _COLUMN = 20, 12, 10, 36  # around the page, in a box, between frames, between columns
_STEM, _HEAD = 12, 22  # length of an arrow above and below its frame
_WIDER = 1.24  # fonts of browsers are wider than the one that is measured here; DejaVu Sans by a fifth
_NARROWEST = 440  # of a page with notes


@dataclass(frozen=True, slots=True)
class Rectangle:
    left: float
    top: float
    width: float
    height: float
    fill: str
    border: str
    dashed: bool = False
    radius: float = 6


@dataclass(frozen=True, slots=True)
class Words:
    """`x`: of their middle or start; `y`: of their middle."""

    x: float
    y: float
    text: str
    size: int = _TEXT
    colour: str = INK
    bold: bool = False
    anchor: Literal["middle", "start"] = "middle"


@dataclass(frozen=True, slots=True)
class Stroke:
    """A vertical line. `pointed`: with an arrow's head at its end."""

    x: float
    top: float
    bottom: float
    pointed: bool = False
    dashed: bool = False


Shape = Rectangle | Words | Stroke


@dataclass(slots=True)
class Page:
    width: float
    height: float
    shapes: list[Shape] = field(default_factory=list)


def layout(diagram: Diagram) -> Page:
    """All shapes of a diagram, those that lie below others first."""
    builder = _Builder(diagram)
    first = diagram.boxes[0].key
    width = builder.widths[first]
    if diagram.notes:
        width = max(width, _NARROWEST)
    page = Page(width + 2 * _MARGIN, 0)
    bottom = builder.place(first, _MARGIN + (width - builder.widths[first]) / 2, _MARGIN, page)
    page.height = _notes(diagram.notes, bottom, page) + _MARGIN
    return page


class _Builder:
    def __init__(self, diagram: Diagram) -> None:
        self.diagram = diagram
        self.boxes = {box.key: box for box in diagram.boxes}
        self.entering: dict[str, list[Arrow]] = {key: [] for key in self.boxes}
        for arrow in diagram.arrows:
            self.entering[arrow.target].append(arrow)
        self.widths: dict[str, float] = {}
        self._measure(diagram.boxes[0].key)

    def _measure(self, key: str) -> float:
        """The width of a box with all that is below it."""
        below = [self._measure(child) for child in self.diagram.targets(key)]
        columns = sum(below) + _COLUMN * max(len(below) - 1, 0)
        self.widths[key] = max(_box_width(self.boxes[key]), _bundle_width(self.entering[key]), columns)
        return self.widths[key]

    def place(self, key: str, left: float, top: float, page: Page) -> float:
        """Adds the box at `top`, in the middle of its column, and all below it. Returns the lowest bottom."""
        box, middle = self.boxes[key], left + self.widths[key] / 2
        children = self.diagram.targets(key)
        columns = sum(self.widths[child] for child in children) + _COLUMN * max(len(children) - 1, 0)
        start = middle - columns / 2
        half = max(_box_width(box), _bundle_width(self.entering[key])) / 2
        first, last = middle - half, middle + half
        starts = []
        for child in children:
            starts.append(start)
            reach, centre = _bundle_width(self.entering[child]) / 2, start + self.widths[child] / 2
            first, last = min(first, centre - reach), max(last, centre + reach)
            start += self.widths[child] + _COLUMN
        bottom = _box(box, first, top, last - first, page)
        lowest = bottom
        for child, where in zip(children, starts, strict=True):
            centre = where + self.widths[child] / 2
            below = _bundle(self.diagram.between(key, child), centre, bottom, page)
            lowest = max(lowest, self.place(child, where, below, page))
        return lowest


def _box(box: Box, left: float, top: float, width: float, page: Page) -> float:
    fill, border = _FILLS[box.kind]
    label = f"{box.label}, inserted" if box.inserted else box.label
    rows = [(label, _SMALL, PALE, False)] if label else []
    rows += [(box.title, _TITLE, INK, True), *((line, _TEXT, PALE, False) for line in box.lines)]
    height = sum(size * _LEADING for _, size, _, _ in rows) + _PADDING
    dashed = box.inserted or box.kind == "criterion"
    page.shapes.append(Rectangle(left, top, width, height, fill, _INSERTED if box.inserted else border, dashed=dashed))
    y = top + _PADDING / 2
    for text, size, colour, bold in rows:
        y += size * _LEADING / 2
        page.shapes.append(Words(left + width / 2, y, plain(text), size, colour, bold))
        y += size * _LEADING / 2
    for position, number in enumerate(box.notes):
        _mark(number, left + width - 14 - 20 * position, top + 14, page)
    return top + height


def _bundle(arrows: Sequence[Arrow], middle: float, top: float, page: Page) -> float:
    """Arrows side by side from one box to the next, each with a frame. Returns where the next box begins."""
    framed = [arrow for arrow in arrows if arrow.lines]
    if not framed:
        page.shapes.append(Stroke(middle, top, top + _STEM + _HEAD, pointed=True, dashed=True))
        return top + _STEM + _HEAD
    wide = _frame_width(framed)
    high = max(len(arrow.lines) for arrow in framed) * _TEXT * _LEADING + 8
    left = middle - _bundle_width(framed) / 2
    frame = top + _STEM
    for arrow in framed:
        x = left + wide / 2
        page.shapes.append(Stroke(x, top, frame))
        page.shapes.append(Rectangle(left, frame, wide, high, "#ffffff", "#c9d1d9", radius=4))
        for row, line in enumerate(arrow.lines):
            y = frame + 4 + (row + 0.5) * _TEXT * _LEADING
            page.shapes.append(Words(x, y, plain(line), _TEXT, INK if row == 0 else PALE, bold=row == 0))
        page.shapes.append(Stroke(x, frame + high, frame + high + _HEAD, pointed=True))
        left += wide + _GAP
    return frame + high + _HEAD


def _notes(notes: Sequence[str], top: float, page: Page) -> float:
    """Numbered, below everything, as wide as the page. Returns the bottom."""
    if not notes:
        return top
    letters = int((page.width - 2 * _MARGIN - 26) / (_length("abcdefghij", _TEXT) / 10))
    y = top + 18.0
    for number, note in enumerate(notes, 1):
        _mark(number, _MARGIN + 8, y + 8, page)
        for line in textwrap.wrap(plain(note), max(letters, 20)):
            page.shapes.append(Words(_MARGIN + 26, y + 8, line, _TEXT, PALE, anchor="start"))
            y += _TEXT * _LEADING
        y += 5
    return y


def _mark(number: int, x: float, y: float, page: Page) -> None:
    page.shapes.append(Rectangle(x - 8, y - 8, 16, 16, _MARK, _MARK, radius=8))
    page.shapes.append(Words(x, y, str(number), _SMALL, "#ffffff", bold=True))


def _box_width(box: Box) -> float:
    label = f"{box.label}, inserted" if box.inserted else box.label
    texts = [_length(label, _SMALL), _length(box.title, _TITLE), *(_length(line, _TEXT) for line in box.lines)]
    return max(texts) + 2 * _PADDING + 40 * bool(box.notes) + 40 * max(len(box.notes) - 1, 0)


def _bundle_width(arrows: Sequence[Arrow]) -> float:
    framed = [arrow for arrow in arrows if arrow.lines]
    return len(framed) * _frame_width(framed) + _GAP * max(len(framed) - 1, 0)


def _frame_width(arrows: Sequence[Arrow]) -> float:
    """As wide as the widest line of all, so that a bundle is even."""
    return max((_length(line, _TEXT) for arrow in arrows for line in arrow.lines), default=0.0) + 14


def _length(text: str, size: int) -> float:
    return font(size).getlength(plain(text)) * _WIDER
