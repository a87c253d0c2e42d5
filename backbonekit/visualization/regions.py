"""Coloured regions with contours, and where in a region its name stands."""

import numpy as np
from PIL import Image
from scipy import ndimage

from backbonekit.visualization.colours import Colour

_FILL = 0.45  # how much of a region's colour lies over the image
_COARSE = 192  # pixels a side: names need no finer grid, and it keeps large images fast


def paint_map(image: Image.Image, regions: np.ndarray, colours: dict[int, Colour], width: int) -> Image.Image:
    """Every region of an integer map [height, width] in its colour, with contours of `width` pixels where two meet;
    numbers without a colour stay as they are."""
    pixels = np.asarray(image).astype(np.float32)
    numbers = np.array(sorted(colours), dtype=np.int64)
    if not len(numbers):
        return image.copy()
    table = np.array([colours[int(number)] for number in numbers], dtype=np.float32)
    position = np.searchsorted(numbers, regions).clip(max=len(numbers) - 1)
    coloured = numbers[position] == regions
    fill = table[position]
    pixels = np.where(coloured[..., None], pixels * (1 - _FILL) + fill * _FILL, pixels)
    border = _thick(_borders(regions), width) & coloured
    pixels[border] = fill[border]
    return Image.fromarray(pixels.round().astype(np.uint8))


def paint_mask(pixels: np.ndarray, mask: np.ndarray, colour: Colour, width: int) -> None:
    """One mask, bool [height, width], over float pixels [height, width, 3], in place."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    part = (
        slice(max(rows[0] - width, 0), rows[-1] + width + 1),
        slice(max(columns[0] - width, 0), columns[-1] + width + 1),
    )
    inside = mask[part]
    shade = np.array(colour, dtype=np.float32)
    region = pixels[part]
    region[inside] = region[inside] * (1 - _FILL) + shade * _FILL
    region[_thick(_borders(inside.astype(np.int8)), width) & inside] = shade


def name_places(mask: np.ndarray, *, most: int = 1, smallest: float = 0.002) -> list[tuple[float, float]]:
    """(x, y) of the point that is deepest inside each of the `most` largest pieces of a mask; none for pieces below
    `smallest` of the image."""
    step = max(1, -(-max(mask.shape) // _COARSE))
    coarse = mask[step // 2 :: step, step // 2 :: step]
    pieces, count = ndimage.label(coarse)  # type: ignore[misc]
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    places = []
    for piece in np.argsort(-sizes, kind="stable")[:most]:
        if sizes[piece] < smallest * coarse.size:
            break
        # A margin of background, so that the image's edge counts as the region's edge.
        depth = ndimage.distance_transform_edt(np.pad(pieces == piece + 1, 1))
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)  # type: ignore[arg-type]
        places.append(((float(column) - 0.5) * step, (float(row) - 0.5) * step))
    return places


def _borders(regions: np.ndarray) -> np.ndarray:
    """True where a pixel's lower or right neighbour, or the pixel's upper or left one, is of another region."""
    borders = np.zeros(regions.shape, dtype=bool)
    vertical, horizontal = regions[1:] != regions[:-1], regions[:, 1:] != regions[:, :-1]
    borders[1:] |= vertical
    borders[:-1] |= vertical
    borders[:, 1:] |= horizontal
    borders[:, :-1] |= horizontal
    return borders


def _thick(borders: np.ndarray, width: int) -> np.ndarray:
    return borders if width <= 1 else ndimage.binary_dilation(borders, iterations=width - 1)
