"""Colours of classes, far apart and the same in every image, and the text colour that is readable on each.

Source: the Oklab colour space (Ottosson, 2020), in which equal steps look equal; bottosson.github.io/posts/oklab.
"""

import math
from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]

_GOLDEN_ANGLE = 137.507764  # degrees; each new hue falls into the largest gap that the earlier ones left
_LIGHTNESS = (0.68, 0.80, 0.56)  # neighbours in hue differ in lightness too, for those who see few hues
_CHROMA = 0.17
_FIRST_HUE = 25.0


@lru_cache(maxsize=4096)
def label_colour(label: int, instance: int = 0) -> Colour:
    """The colour of a class. `instance`: the number of the thing among those of its class in an image; it changes the
    lightness a little, so that two neighbours of a class can be distinguished."""
    lightness = _LIGHTNESS[label % len(_LIGHTNESS)] + (0.0, -0.12, 0.1, -0.06, 0.05)[instance % 5]
    # Lighter than 0.84, a colour fades into white; darker than 0.45, into the shadows of an image.
    return _rgb(min(max(lightness, 0.45), 0.84), _CHROMA, _FIRST_HUE + label * _GOLDEN_ANGLE)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever has the higher contrast on `background` (WCAG's relative luminance)."""
    linear = [_linear(channel / 255) for channel in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # (luminance + 0.05) / 0.05 against 1.05 / (luminance + 0.05): equal at 0.179
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


@lru_cache(maxsize=1)
def ramp() -> np.ndarray:
    """uint8 [256, 3]: dark violet over red to bright yellow, rising in lightness, so that it reads in grey too."""
    steps = []
    for position in np.linspace(0.0, 1.0, 256).tolist():
        chroma = 0.06 + 0.12 * math.sin(math.pi * position)
        steps.append(_rgb(0.22 + 0.72 * position, chroma, 290.0 + 175.0 * position))
    return np.array(steps, dtype=np.uint8)


def _rgb(lightness: float, chroma: float, hue: float) -> Colour:
    """Oklch to 8-bit sRGB; a colour outside sRGB is reduced in chroma until it is inside."""
    while True:
        linear = _linear_rgb(lightness, chroma, hue)
        if chroma < 0.005 or all(-1e-4 <= channel <= 1.0001 for channel in linear):
            red, green, blue = (round(255 * _encoded(min(max(channel, 0.0), 1.0))) for channel in linear)
            return red, green, blue
        chroma *= 0.95


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _encoded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _linear(encoded: float) -> float:
    return encoded / 12.92 if encoded <= 0.04045 else ((encoded + 0.055) / 1.055) ** 2.4
