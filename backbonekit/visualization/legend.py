"""A legend beside an image: each class with its colours, and how much of it was found."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from backbonekit.visualization.colours import Colour
from backbonekit.visualization.text import cut_to, font, font_size, plate_size

_WIDTH = 11  # font sizes: a third of the image's mean side
_PAPER, _INK, _FAINT = (24, 24, 24), (235, 235, 235), (160, 160, 160)
_MOST_SHADES = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A class. `colours`: one, or the shades that its things have. `amount`: at the right end of its row."""

    name: str
    colours: Sequence[Colour]
    amount: str


def with_legend(image: Image.Image, entries: Sequence[Entry]) -> Image.Image:
    """The image with a panel at its right that depends on the image's size alone, so that the frames of a video keep
    one size. Entries that do not fit are counted in the last row. An image narrower than the panel has none."""
    size = font_size(image.size)
    width, line, margin = _WIDTH * size, plate_size("0", size)[1] + max(2, size // 4), max(2, size // 2)
    if width > image.width:
        return image
    rows = max(0, (image.height - margin) // line)
    shown = entries if len(entries) <= rows else entries[: max(0, rows - 1)]
    page = Image.new("RGB", (image.width + width, image.height), _PAPER)
    page.paste(image)
    drawing, left, right = ImageDraw.Draw(page), image.width + margin, image.width + width - margin
    for row, entry in enumerate(shown):
        top = margin + row * line
        _swatch(drawing, entry.colours, (left, top + size // 6, left + size, top + size // 6 + size))
        amount = round(font(size).getlength(entry.amount))
        drawing.text((right - amount, top), entry.amount, font=font(size), fill=_FAINT)
        start = left + size + margin
        drawing.text(
            (start, top), cut_to(entry.name, size, right - amount - margin - start), font=font(size), fill=_INK
        )
    if len(shown) < len(entries) and rows:
        top = margin + len(shown) * line
        drawing.text((left, top), f"+ {len(entries) - len(shown)} more", font=font(size), fill=_FAINT)
    return page


def _swatch(drawing: ImageDraw.ImageDraw, colours: Sequence[Colour], box: tuple[int, int, int, int]) -> None:
    """A square in vertical stripes, one a shade."""
    shades = list(dict.fromkeys(colours))[:_MOST_SHADES]
    left, top, right, bottom = box
    for index, colour in enumerate(shades):
        start = left + (right - left) * index // len(shades)
        drawing.rectangle((start, top, right - 1, bottom - 1), fill=colour)
