"""A data format: images that are drawn when they are read. One that reads files derives from backbonekit's FileData."""

from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Range
from backbonekit.errors import RecipeError, nearest

SIDE = 32  # pixels
Images = Annotated[int, Range(0, 1_000_000)]


class Stripes:
    """A bright stripe on a dark background, and which pixels are on it.

    `train`, `val`: how many images each split has.
    """

    labels = Labels(("background", "stripe"))

    def __init__(self, *, train: Images = 64, val: Images = 16) -> None:
        self._sizes = {name: size for name, size in {"train": train, "val": val}.items() if size}

    def split(self, name: str) -> "StripesSplit":
        if name not in self._sizes:
            raise RecipeError(f"data=stripes has no split {name!r}; {nearest(name, self._sizes)}")
        return StripesSplit(name, self._sizes[name])


class StripesSplit:
    """Image i of a split depends on the split and i alone."""

    def __init__(self, split: str, length: int) -> None:
        self._split = split
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Image.Image, dict[str, Any]]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        random = np.random.default_rng([self._split == "train", index])
        top, height = int(random.integers(0, SIDE - 8)), int(random.integers(4, 9))
        on_stripe = np.zeros((SIDE, SIDE), dtype=np.int64)
        on_stripe[top : top + height] = 1
        pixels = 60 + 140 * on_stripe[..., None] + random.integers(0, 40, size=(SIDE, SIDE, 3))
        return Image.fromarray(pixels.astype(np.uint8)), {"segmentation": torch.from_numpy(on_stripe)}

    def name(self, index: int) -> str:
        return f"{self._split}/{index}"

    def image_id(self, index: int) -> int:
        return index
