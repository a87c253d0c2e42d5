"""A diagram of boxes and the arrows between them, as data; each file beside this one draws it in another way."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "backbone", "neck", "head", "result", "criterion"]


@dataclass(frozen=True, slots=True)
class Box:
    """`key`: its own, for arrows. `label`: a small line above the title, such as its path. `lines`: below the title.
    `inserted`: whether nobody named it. `notes`: numbers, from 1, of the diagram's notes that are about it."""

    key: str
    kind: Kind
    title: str
    label: str = ""
    lines: tuple[str, ...] = ()
    inserted: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrow:
    """`lines`: what it carries: level, stride, channels, shape; none for an arrow that orders two boxes alone."""

    source: str
    target: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes in the order in which they run, the first one without an arrow to it, every other one with arrows from one
    box before it: a tree that grows downwards."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    notes: tuple[str, ...] = ()

    def targets(self, key: str) -> list[str]:
        """The boxes that arrows lead to from this one."""
        return list(dict.fromkeys(arrow.target for arrow in self.arrows if arrow.source == key))

    def between(self, source: str, target: str) -> list[Arrow]:
        return [arrow for arrow in self.arrows if (arrow.source, arrow.target) == (source, target)]


def plain(text: str) -> str:
    """On one line, without control characters: names come from recipes of others."""
    return "".join(character if character.isprintable() else " " for character in text)


FORMATS = (".svg", ".png", ".mmd")
"""What a diagram can be written as, by the suffix of the file."""
