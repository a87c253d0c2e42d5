"""Segmentations and depth as PNG files that every tool reads."""

import io

import numpy as np
from PIL import Image


def label_png(labels: np.ndarray, largest: int, *, nothing: int | None = None) -> bytes:
    """Integers [height, width] from 0 to `largest` as a PNG whose pixels are the numbers.

    8 bits with a palette, so that a viewer shows colours, where the numbers fit; else 16-bit grey. `nothing`: the
    number that means no label; it becomes 255, in 16 bits 65535, which is no number of another label.
    """
    is_narrow = largest < (256 if nothing is None else 255)
    if nothing is not None:
        labels = np.where(labels == nothing, 255 if is_narrow else 65_535, labels)
    if is_narrow:
        image = Image.frombytes("P", (labels.shape[1], labels.shape[0]), labels.astype(np.uint8).tobytes())
        image.putpalette(_palette())
        return _png(image)
    return _png(Image.fromarray(labels.astype(np.uint16)))


def depth_png(depth: np.ndarray) -> tuple[bytes, float, float]:
    """(PNG, offset, scale): 16-bit grey with depth = offset + scale * value; value 0 where there is no depth (NaN)."""
    valid = np.isfinite(depth)
    low, high = (float(depth[valid].min()), float(depth[valid].max())) if valid.any() else (0.0, 0.0)
    scale = (high - low) / 65_534 or 1.0
    offset = low - scale  # the smallest depth is 1
    values = np.where(valid, np.rint((np.where(valid, depth, low) - offset) / scale), 0)
    return _png(Image.fromarray(values.astype(np.uint16))), offset, scale


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _palette() -> list[int]:
    """PASCAL VOC's colours: the bits of the number, spread over red, green and blue, highest first."""
    colours = []
    for number in range(256):
        channels = [0, 0, 0]
        for position in range(8):
            bits = number >> (3 * position)
            for channel in range(3):
                channels[channel] |= ((bits >> channel) & 1) << (7 - position)
        colours.extend(channels)
    return colours
