"""Coloured regions with contours, and where in a region its name stands."""

from collections.abc import Iterable

import numpy as np
from PIL import Image
from scipy import ndimage

from backbonekit.visualization.colours import Colour

_FILL = 0.45  # how much of a region's colour lies over the image
_COARSE = 192  # pixels a side: names need no finer grid, and it keeps large images fast


# Not torchvision.utils.draw_segmentation_masks: it blackens overlaps, draws no contours (two shades of one class run
# into each other), and is as slow.
def paint_masks(image: Image.Image, masks: Iterable[np.ndarray], colours: Iterable[Colour], width: int) -> Image.Image:
    """A copy of the image with each mask, bool [height, width], in its colour and a contour of `width` pixels inside
    it; later masks lie over earlier ones."""
    pixels = np.asarray(image).astype(np.float32)
    for mask, colour in zip(masks, colours, strict=True):
        _paint_mask(pixels, mask, colour, width)
    return Image.fromarray(pixels.round().astype(np.uint8))


def _paint_mask(pixels: np.ndarray, mask: np.ndarray, colour: Colour, width: int) -> None:
    """One mask over float pixels [height, width, 3], in place. Only its bounding box is read and written."""
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
    region[_thick(_borders(inside), width) & inside] = shade


def name_positions(mask: np.ndarray, *, most: int = 1, smallest: float = 0.002) -> list[tuple[float, float]]:
    """(x, y) of the point that is deepest inside each of the `most` largest pieces of a mask; none for pieces below
    `smallest` of the image."""
    step = max(1, -(-max(mask.shape) // _COARSE))
    coarse = mask[step // 2 :: step, step // 2 :: step]
    pieces, count = ndimage.label(coarse)  # type: ignore[misc]
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    positions = []
    for piece in np.argsort(-sizes, kind="stable")[:most]:
        if sizes[piece] < smallest * coarse.size:
            break
        # A margin of background, so that the image's edge counts as the region's edge.
        depth = ndimage.distance_transform_edt(np.pad(pieces == piece + 1, 1))
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)  # type: ignore[arg-type]
        positions.append(((float(column) - 0.5) * step, (float(row) - 0.5) * step))
    return positions


def _borders(mask: np.ndarray) -> np.ndarray:
    """True on both sides of each edge between the mask and the rest. The image's own edge is none."""
    borders = np.zeros(mask.shape, dtype=bool)
    vertical, horizontal = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    borders[1:] |= vertical
    borders[:-1] |= vertical
    borders[:, 1:] |= horizontal
    borders[:, :-1] |= horizontal
    return borders


def _thick(borders: np.ndarray, width: int) -> np.ndarray:
    return borders if width <= 1 else ndimage.binary_dilation(borders, iterations=width - 1)
