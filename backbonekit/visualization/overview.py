"""Several images on one sheet."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from backbonekit.errors import ContractError
from backbonekit.visualization.text import cut_to, font, font_size, plate_size

_PAPER, _INK = (24, 24, 24), (235, 235, 235)


def overview(
    images: Sequence[Image.Image],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    largest: int = 480,
) -> Image.Image:
    """A contact sheet. `titles`: one line over each. `columns`: as wide as high unless given. `largest`: the longer
    side of each image in pixels; smaller ones are not enlarged."""
    if not images:
        raise ContractError("an overview needs at least one image.")
    shown = [_fitted(image.convert("RGB"), largest) for image in images]
    wide, high = max(image.width for image in shown), max(image.height for image in shown)
    across = columns or math.ceil(math.sqrt(len(shown) * high / wide))
    across = max(1, min(across, len(shown)))
    down = math.ceil(len(shown) / across)
    size, gap = font_size((wide, high)), max(2, round(min(wide, high) / 60))
    band = plate_size("0", size)[1] if titles else 0
    sheet = Image.new("RGB", (across * (wide + gap) + gap, down * (high + band + gap) + gap), _PAPER)
    drawing = ImageDraw.Draw(sheet)
    for index, image in enumerate(shown):
        left, top = gap + (index % across) * (wide + gap), gap + (index // across) * (high + band + gap)
        if titles:
            drawing.text((left, top), cut_to(titles[index], size, wide), font=font(size), fill=_INK)
        sheet.paste(image, (left + (wide - image.width) // 2, top + band + (high - image.height) // 2))
    return sheet


def _fitted(image: Image.Image, largest: int) -> Image.Image:
    scale = largest / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
