"""Pictures composed of real handwritten digits, with a mask and a class for each digit."""

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 64  # pixels of a picture
CELL = 32  # pixels of a cell: digits stand in a 2x2 grid with jitter, so that they touch but never hide each other


def split_digits(seed: int = 0):
    """(train, test): lists of (8x8 array in [0, 1], label); a quarter is held out."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.images))
    digits = [(data.images[index] / 16.0, int(data.target[index])) for index in order]
    held_out = len(digits) // 4
    return digits[held_out:], digits[:held_out]


def compose_pictures(digits, *, count: int, seed: int):
    """`count` pictures (PIL, RGB, 64x64) and their targets: `labels` [N], `masks` bool [N, 64, 64], N from 1 to 4."""
    random = np.random.default_rng(seed)
    pairs = [_picture(digits, random) for _ in range(count)]
    return [picture for picture, _ in pairs], [target for _, target in pairs]


def _picture(digits, random):
    background = random.uniform(0.0, 0.45, size=3)
    canvas = np.clip(background + random.normal(0, 0.04, size=(SIDE, SIDE, 3)), 0, 1)
    cells = random.permutation(4)[: random.integers(1, 5)]
    labels, masks = [], []
    for cell in cells:
        image, label = digits[random.integers(len(digits))]
        side = int(random.integers(22, CELL + 1))
        top = (cell // 2) * CELL + int(random.integers(0, CELL - side + 1))
        left = (cell % 2) * CELL + int(random.integers(0, CELL - side + 1))
        enlarged = Image.fromarray((image * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.asarray(enlarged, dtype=np.float64)[..., None] / 255
        colour = random.uniform(0.6, 1.0, size=3)
        area = canvas[top : top + side, left : left + side]
        canvas[top : top + side, left : left + side] = area * (1 - ink) + colour * ink
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[top : top + side, left : left + side] = ink[..., 0] > 0.4
        labels.append(label)
        masks.append(mask)
    picture = Image.fromarray((canvas * 255).astype(np.uint8))
    target = {"labels": torch.tensor(labels), "masks": torch.from_numpy(np.stack(masks))}
    return picture, target
