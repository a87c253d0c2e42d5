"""Handwritten digits composed onto small pages: real data that a package brings, for trying a model within minutes."""

from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Range
from backbonekit.errors import RecipeError, nearest

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BACKGROUND = len(NAMES)  # the class of a pixel that is on no digit
SIDE = 64  # pixels of a page
CELL = 32  # pixels of a cell: digits stand in a 2x2 grid with jitter, so that they touch but never hide each other
_PAPER, _NOISE = 0.45, 0.04  # the brightest colour of a page, in [0, 1], and the deviation of its pixels
_INK = 0.4  # a pixel with more ink than this is on the digit

_Images = Annotated[int, Range(0, 1_000_000)]


class Digits:
    """Pages of 64 x 64 pixels with one to four of scikit-learn's 1,797 handwritten digits on a noisy background. A
    quarter of the digits is on pages of `val` and `test` alone.

    `train`, `val`, `test`: how many pages each split has. `targets`: objects (the class, box and mask of each digit),
    segmentation (a class for each pixel, the background being the eleventh), or class (one digit on each page).
    `seed`: other pages of the same digits.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998; `sklearn.datasets.load_digits`.
    """

    def __init__(
        self,
        *,
        train: _Images = 3_200,
        val: _Images = 100,
        test: _Images = 100,
        targets: Literal["objects", "segmentation", "class"] = "objects",
        seed: Annotated[int, Range(0, 1_000_000)] = 0,
    ) -> None:
        self._sizes = {name: size for name, size in {"train": train, "val": val, "test": test}.items() if size}
        self._targets = targets
        self._seed = seed
        self.labels = Labels((*NAMES, "background") if targets == "segmentation" else NAMES)

    def split(self, name: str) -> "_Pages":
        if name not in self._sizes:
            raise RecipeError(f"data=digits has no split {name!r}; {nearest(name, self._sizes)}")
        return _Pages(name, self._sizes[name], self._targets, self._seed)


class _Pages:
    """Page i of a split depends on the seed, the split and i alone."""

    def __init__(self, split: str, length: int, targets: str, seed: int) -> None:
        self._split = split
        self._length = length
        self._targets = targets
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Image.Image, dict[str, Any]]:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return page(self._split, index, targets=self._targets, seed=self._seed)

    def name(self, index: int) -> str:
        return f"{self._split}/{index}"

    def image_id(self, index: int) -> int:
        return index


def page(split: str, index: int, *, targets: str = "objects", seed: int = 0) -> tuple[Image.Image, dict[str, Any]]:
    """One page and its target."""
    glyphs, classes = _glyphs(split == "train")
    random = np.random.default_rng([seed, ("train", "val", "test").index(split), index])
    canvas = random.uniform(0.0, _PAPER, size=3) + random.normal(0, _NOISE, size=(SIDE, SIDE, 3))
    canvas = np.clip(canvas, 0, 1)
    count = 1 if targets == "class" else int(random.integers(1, 5))
    labels, masks = [], []
    for cell in random.permutation(4)[:count]:
        chosen = int(random.integers(len(glyphs)))
        side = int(random.integers(22, CELL + 1))
        top = int(cell // 2) * CELL + int(random.integers(0, CELL - side + 1))
        left = int(cell % 2) * CELL + int(random.integers(0, CELL - side + 1))
        enlarged = Image.fromarray(glyphs[chosen]).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.asarray(enlarged, dtype=np.float64)[..., None] / 255
        area = canvas[top : top + side, left : left + side]
        area[:] = area * (1 - ink) + random.uniform(0.6, 1.0, size=3) * ink
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[top : top + side, left : left + side] = ink[..., 0] > _INK
        labels.append(int(classes[chosen]))
        masks.append(mask)
    image = Image.fromarray((canvas * 255).astype(np.uint8))
    return image, _target(labels, torch.from_numpy(np.stack(masks)), targets)


def _target(labels: list[int], masks: torch.Tensor, targets: str) -> dict[str, Any]:
    """`masks`: bool [N, 64, 64], none of them empty."""
    if targets == "class":
        return {"class": torch.tensor(labels[0])}
    if targets == "segmentation":
        segmentation = torch.full((SIDE, SIDE), BACKGROUND)
        for label, mask in zip(labels, masks, strict=True):
            segmentation[mask] = label
        return {"segmentation": segmentation}
    boxes = []
    for mask in masks:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        # To the outer edges of the last pixels.
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return {"labels": torch.tensor(labels), "boxes": torch.tensor(boxes, dtype=torch.float32), "masks": masks}


@lru_cache(maxsize=2)
def _glyphs(is_train: bool) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, 8, 8] and their classes; a quarter is held out."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise RecipeError(
            "data=digits needs scikit-learn, which has the digits. The fix: pip install scikit-learn."
        ) from error
    data: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    held_out = len(order) // 4
    chosen = order[held_out:] if is_train else order[:held_out]
    return (data.images[chosen] / 16 * 255).astype(np.uint8), data.target[chosen]
