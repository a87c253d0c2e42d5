"""COCO's two ways to write the mask of an object: outlines, and runs of pixels that are counted column by column."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbonekit.errors import ContractError


def object_mask(segmentation: Any, size: tuple[int, int]) -> Tensor:
    """bool [height, width]. `segmentation`: polygons, each [x0, y0, x1, y1, ...] in pixels, or run lengths
    `{"size": [height, width], "counts": [...]}`, which start with what is outside.

    A pixel is inside a polygon when its centre is; several polygons are parts of one object. Raises ContractError for
    compressed run lengths (a string) and for what does not go with the image.
    """
    if isinstance(segmentation, Mapping):
        return _from_runs(segmentation, size)
    if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
        raise ContractError(
            f"a segmentation is a list of polygons, or run lengths; given: {type(segmentation).__name__}."
        )
    mask = np.zeros(size, dtype=bool)
    for polygon in segmentation:
        mask |= _inside(np.asarray(polygon, dtype=np.float64), size)
    return torch.from_numpy(mask)


def _from_runs(segmentation: Mapping[str, Any], size: tuple[int, int]) -> Tensor:
    counts = segmentation.get("counts")
    if not isinstance(counts, Sequence) or isinstance(counts, (str, bytes)):
        raise ContractError("run lengths are wanted as a list of numbers; pycocotools' `decode` reads compressed ones.")
    height, width = size
    if tuple(segmentation.get("size", size)) != size or sum(counts) != height * width or min(counts, default=0) < 0:
        raise ContractError(f"run lengths of {sum(counts)} pixels do not fit an image of {height} x {width}.")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return torch.from_numpy(np.ascontiguousarray(flat.reshape(width, height).T))


def _inside(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """bool [height, width]: whose centres have an odd number of edges to their left."""
    if polygon.ndim != 1 or len(polygon) < 6 or len(polygon) % 2:
        raise ContractError(f"a polygon has three points or more, [x0, y0, x1, y1, ...]; given {polygon.size} numbers.")
    height, width = size
    points = polygon.reshape(-1, 2)
    columns = np.arange(width) + 0.5
    crossings = np.zeros((height, width), dtype=bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        low, high = min(y0, y1), max(y0, y1)
        # rows: whose centres lie between the two ends; half open, so that a shared end counts once
        first, last = (int(np.clip(np.ceil(end - 0.5), 0, height)) for end in (low, high))
        if first >= last:
            continue
        rows = np.arange(first, last) + 0.5
        meets = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
        crossings[first:last] ^= columns >= meets[:, None]
    return crossings
