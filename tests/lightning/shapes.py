"""A data source of grey images with a bright rectangle or square, made from their index."""

from typing import Any

import numpy as np
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.errors import RecipeError, StorageError

SIZE = 32


class Shapes:
    """Images with a square or a wide rectangle.

    `train`: number of training images. `val`: of validation images; none: 0. `broken`: index of an image that cannot be
    read.
    """

    def __init__(self, *, train: int = 8, val: int = 4, broken: int | None = None) -> None:
        self.labels = Labels(("background", "square", "wide"))
        self._sizes = {"train": train, "val": val}
        self._broken = broken

    def split(self, name: str) -> "_Split":
        if not self._sizes.get(name):
            raise RecipeError(f"there is no split {name!r}; allowed: train.")
        return _Split(name, self._sizes[name], self._broken)


class _Split:
    def __init__(self, split: str, length: int, broken: int | None) -> None:
        self.split, self.length, self.broken = split, length, broken

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"{self.split}/{index}.png"

    def image_id(self, index: int) -> int:
        return index

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        if index == self.broken and self.split == "train":
            raise StorageError(f"{self.name(index)} is no image.")
        generator = np.random.default_rng(index + 1_000 * (self.split == "val"))
        label = 1 + int(generator.integers(2))
        height, width = 12, 4 + 8 * label
        top, left = (int(generator.integers(SIZE - side)) for side in (height, width))
        pixels = generator.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
        pixels[top : top + height, left : left + width] += 150
        segmentation = torch.zeros(SIZE, SIZE, dtype=torch.int64)
        segmentation[top : top + height, left : left + width] = label
        boxes = torch.tensor([[left, top, left + width, top + height]], dtype=torch.float32)
        target = {"boxes": boxes, "labels": torch.tensor([label]), "segmentation": segmentation}
        target["masks"] = (segmentation == label)[None]
        return Image.fromarray(pixels), target | {"class": torch.tensor(label)}
