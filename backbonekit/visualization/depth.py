"""A depth map in colours, near bright and far dark, with a scale."""

import numpy as np
from PIL import Image, ImageDraw

from backbonekit.contract.results import DepthResult
from backbonekit.visualization.colours import ramp
from backbonekit.visualization.text import font, font_size, plate_size

_NOTHING = (128, 128, 128)  # where there is no depth: no colour of the ramp is grey
_MOST_FOR_SCALE = 0.15  # of the image
_TAILS = (1.0, 99.0)  # per cent: one wild pixel must not take all the contrast


def draw_depth(image: Image.Image, result: DepthResult) -> Image.Image:
    """The colours span the middle 98 % of the depths; the scale tells their range, in the model's own unit."""
    depth = result.depth.numpy()
    valid = np.isfinite(depth)
    if not valid.any():
        return Image.new("RGB", image.size, _NOTHING)
    low, high = (float(value) for value in np.percentile(depth[valid], _TAILS))
    span = high - low or 1.0
    # position: 1 near, 0 far
    position = (np.where(valid, depth, high) - low) / span
    position = 1 - position if result.is_distance else position
    pixels = ramp()[(position.clip(0, 1) * 255).round().astype(np.uint8)]
    pixels[~valid] = _NOTHING
    drawn = Image.fromarray(pixels)
    ends = (low, high) if result.is_distance else (high, low)
    _scale(drawn, *ends)
    return drawn


def _scale(image: Image.Image, near: float, far: float) -> None:
    """A bar in the lower left corner, from near to far, both ends in numbers; left out where it would not fit."""
    size = font_size(image.size)
    ends = f"near {near:.3g}", f"{far:.3g} far"
    widths = [plate_size(text, size)[0] for text in ends]
    line = plate_size("0", size)[1]
    margin = max(2, size // 2)
    width, height = max(sum(widths) + margin, round(image.width * 0.3)), line + max(4, size // 2) + margin
    if width + 2 * margin > image.width or width * height > _MOST_FOR_SCALE * image.width * image.height:
        return
    left, top = margin, image.height - height - margin
    drawing = ImageDraw.Draw(image)
    drawing.rectangle((left - margin // 2, top - margin // 2, left + width + margin // 2, top + height), fill=(0, 0, 0))
    bar = Image.fromarray(ramp()[None, ::-1].copy()).resize((width, height - line - margin // 2))
    image.paste(bar, (left, top))
    below = top + bar.height
    drawing.text((left, below), ends[0], font=font(size), fill=(255, 255, 255))
    drawing.text((left + width, below), ends[1], font=font(size), fill=(255, 255, 255), anchor="ra")
