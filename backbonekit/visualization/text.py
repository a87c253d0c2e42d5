"""Names on images: sized with the image, on a plate of their own, never over one another."""

from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from backbonekit.contract.labels import Labels
from backbonekit.visualization.colours import Colour, text_colour

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive
_LONGEST_NAME = 40
# Shares of the image that one plate, and all of them, may cover: a thumbnail is to be seen, not read.
_MOST_FOR_ONE, _MOST_FOR_ALL = 0.08, 0.2
NUM_NAMES = 20  # that an image shows at most; more are a list, no image


def font_size(size: tuple[int, int]) -> int:
    """Pixels for an image of (width, height): a thirtieth of its mean side, from 9 (still readable) to 64."""
    return max(9, min(64, round((size[0] * size[1]) ** 0.5 / 34)))


def line_width(size: tuple[int, int]) -> int:
    """Pixels of a contour or a box for an image of (width, height): 1 up to about 400 pixels a side."""
    return max(1, round((size[0] * size[1]) ** 0.5 / 280))


@lru_cache(maxsize=64)
def font(size: int) -> Any:
    """Pillow's own font, so that no file is needed."""
    return ImageFont.load_default(size)


def label_name(label: int, labels: Labels | None) -> str:
    """The class's name, else its number; on one line, and not longer than 40 characters."""
    name = str(label) if labels is None else labels.name(label)
    name = "".join(character if character.isprintable() else " " for character in name)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def plate_size(text: str, size: int) -> tuple[int, int]:
    """(width, height) of a text with its margins."""
    ascent, descent = font(size).getmetrics()
    margin = max(1, size // 5)
    return round(font(size).getlength(text)) + 2 * margin, ascent + descent + max(0, margin - 1)


class Plates:
    """Places plates on an image, at most `most`. One that would cover another is moved; one that has no room is left
    out."""

    def __init__(self, image: Image.Image, most: int = NUM_NAMES) -> None:
        self._image = image
        self._most = most
        self._drawing = ImageDraw.Draw(image)
        self._taken: list[Box] = []
        self._covered = 0  # pixels
        self.font_size = font_size(image.size)

    def beside_box(self, text: str, box: Box, colour: Colour) -> bool:
        """Above the box's upper left corner; else inside it, below it, or at its right. Whether it was placed."""
        width, height = plate_size(text, self.font_size)
        left, top, right, bottom = box
        positions = [(left, top - height), (left, top), (left, bottom), (left, bottom - height)]
        positions += [(right - width, top - height), (right - width, top)]
        positions += [(left, top + step * height) for step in range(1, 4)]
        return any(self._place(text, position, (width, height), colour) for position in positions)

    def around(self, text: str, centre: tuple[float, float], colour: Colour) -> bool:
        """Centred on (x, y), or a little above or below. Whether it was placed."""
        width, height = plate_size(text, self.font_size)
        left, top = round(centre[0] - width / 2), round(centre[1] - height / 2)
        positions = [(left, top + round(step * height)) for step in (0, -1.05, 1.05, -2.1, 2.1)]
        return any(self._place(text, position, (width, height), colour) for position in positions)

    def _place(self, text: str, position: tuple[int, int], size: tuple[int, int], colour: Colour) -> bool:
        """Draws the plate if it is free there, pushed into the image."""
        width, height = size
        if len(self._taken) >= self._most or width > self._image.width or height > self._image.height:
            return False
        pixels = self._image.width * self._image.height
        if width * height > _MOST_FOR_ONE * pixels or self._covered + width * height > _MOST_FOR_ALL * pixels:
            return False
        left = min(max(position[0], 0), self._image.width - width)
        top = min(max(position[1], 0), self._image.height - height)
        # Pushed in by more than its own size, it would stand beside what it does not name.
        if abs(left - position[0]) > width or abs(top - position[1]) >= height:
            return False
        box = (left, top, left + width, top + height)
        if any(_overlap(box, other) for other in self._taken):
            return False
        self._taken.append(box)
        self._covered += width * height
        self._drawing.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        margin = (width - font(self.font_size).getlength(text)) / 2
        self._drawing.text((left + margin, top), text, font=font(self.font_size), fill=text_colour(colour))
        return True


def _overlap(first: Box, second: Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def cut_to(text: str, size: int, width: int) -> str:
    """As much of a text as fits into `width` pixels, with an ellipsis where something is missing."""
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…" if text else ""
