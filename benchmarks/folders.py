"""Photographs of mixed sizes on disk: smooth noise, which JPEG compresses as it does a photograph."""

from pathlib import Path

import numpy as np
from PIL import Image

_SIZES = ((480, 640), (640, 480), (375, 500), (768, 1024), (333, 500))  # (height, width)
_COARSE = 16  # pixels a patch of noise


def photographs(folder: Path, count: int) -> list[Path]:
    """Writes `count` JPEG files and returns them in order."""
    generator = np.random.default_rng(0)
    files = []
    for number in range(count):
        height, width = _SIZES[number % len(_SIZES)]
        coarse = generator.integers(0, 255, (height // _COARSE, width // _COARSE, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        files.append(folder / f"{number:05d}.jpg")
        image.save(files[-1], quality=90)
    return files
