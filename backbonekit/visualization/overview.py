"""Several pictures on one sheet."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from backbonekit.errors import ContractError
from backbonekit.visualization.text import cut_to, font, font_size, plate_size

_PAPER, _INK = (24, 24, 24), (235, 235, 235)


def overview(
    pictures: Sequence[Image.Image],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    largest: int = 480,
) -> Image.Image:
    """A contact sheet. `titles`: one line over each. `columns`: as wide as high unless given. `largest`: the longer
    side of each picture in pixels; smaller ones are not enlarged."""
    if not pictures:
        raise ContractError("an overview needs at least one picture.")
    shown = [_fitted(picture.convert("RGB"), largest) for picture in pictures]
    wide, high = max(picture.width for picture in shown), max(picture.height for picture in shown)
    across = columns or math.ceil(math.sqrt(len(shown) * high / wide))
    across = max(1, min(across, len(shown)))
    down = math.ceil(len(shown) / across)
    size, gap = font_size((wide, high)), max(2, round(min(wide, high) / 60))
    band = plate_size("0", size)[1] if titles else 0
    sheet = Image.new("RGB", (across * (wide + gap) + gap, down * (high + band + gap) + gap), _PAPER)
    drawing = ImageDraw.Draw(sheet)
    for index, picture in enumerate(shown):
        left, top = gap + (index % across) * (wide + gap), gap + (index // across) * (high + band + gap)
        if titles:
            drawing.text((left, top), cut_to(titles[index], size, wide), font=font(size), fill=_INK)
        sheet.paste(picture, (left + (wide - picture.width) // 2, top + band + (high - picture.height) // 2))
    return sheet


def _fitted(picture: Image.Image, largest: int) -> Image.Image:
    scale = largest / max(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)
