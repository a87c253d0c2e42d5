"""Images composed of real handwritten digits, with the ground truth of each, and functions that the examples share."""

import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.ops import masks_to_boxes

import backbonekit as bk
from backbonekit.visualization.overview import overview

BACKGROUND = 10  # the class of a pixel that is on no digit
SIDE = 64  # pixels of an image
CELL = 32  # pixels of a cell: digits stand in a 2x2 grid with jitter, so that they touch but never hide each other


def split_digits(seed: int = 0):
    """(train, test): lists of (8x8 array in [0, 1], label); a quarter is held out."""
    data = load_digits()
    order = np.random.default_rng(seed).permutation(len(data.images))
    digits = [(data.images[index] / 16.0, int(data.target[index])) for index in order]
    held_out = len(digits) // 4
    return digits[held_out:], digits[:held_out]


def compose_images(digits, *, count: int, seed: int):
    """`count` images (PIL, RGB, 64x64) and their targets: `labels` [N], `masks` bool [N, 64, 64] and `boxes` [N, 4]
    around them, N from 1 to 4; `segmentation` [64, 64], where 10 is the background."""
    random = np.random.default_rng(seed)
    pairs = [_image(digits, random) for _ in range(count)]
    return [image for image, _ in pairs], [target for _, target in pairs]


def _image(digits, random):
    background = random.uniform(0.0, 0.45, size=3)
    canvas = np.clip(background + random.normal(0, 0.04, size=(SIDE, SIDE, 3)), 0, 1)
    cells = random.permutation(4)[: random.integers(1, 5)]
    labels, masks = [], []
    for cell in cells:
        glyph, label = digits[random.integers(len(digits))]
        side = int(random.integers(22, CELL + 1))
        top = (cell // 2) * CELL + int(random.integers(0, CELL - side + 1))
        left = (cell % 2) * CELL + int(random.integers(0, CELL - side + 1))
        enlarged = Image.fromarray((glyph * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
        ink = np.asarray(enlarged, dtype=np.float64)[..., None] / 255
        colour = random.uniform(0.6, 1.0, size=3)
        area = canvas[top : top + side, left : left + side]
        canvas[top : top + side, left : left + side] = area * (1 - ink) + colour * ink
        mask = np.zeros((SIDE, SIDE), dtype=bool)
        mask[top : top + side, left : left + side] = ink[..., 0] > 0.4
        labels.append(label)
        masks.append(mask)
    image = Image.fromarray((canvas * 255).astype(np.uint8))
    masks = torch.from_numpy(np.stack(masks))
    segmentation = torch.full((SIDE, SIDE), BACKGROUND)
    for label, mask in zip(labels, masks, strict=True):
        segmentation[mask] = label
    boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])  # to the outer edges of the last pixels
    return image, {"labels": torch.tensor(labels), "masks": masks, "boxes": boxes, "segmentation": segmentation}


def train(model, digits, *, steps: int, batch: int, seed: int, learning_rate: float = 1e-3) -> None:
    """A plain loop: AdamW, one cycle of the learning rate, gradients clipped. Prints the mean loss every 50 steps."""
    model.train()
    optimizer = torch.optim.AdamW(bk.parameter_groups(model, lr=learning_rate, weight_decay=0.05))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps, pct_start=0.1)
    since, total = time.time(), 0.0
    for step in range(1, steps + 1):
        images, targets = compose_images(digits, count=batch, seed=seed * 1_000_003 + step)
        output = model(**model.processor(images, targets))
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += output.loss.item()
        if step % 50 == 0:
            print(f"step {step:5d}  loss {total / 50:7.3f}  {time.time() - since:5.0f} s", flush=True)
            total = 0.0
    model.eval()


def save_overview(model, images, path: Path) -> None:
    """Saves an overview of images with the model's predictions drawn on them."""
    # The processor resizes them to 64 pixels; the predictions have the size of the enlarged image.
    enlarged = [image.resize((256, 256)) for image in images]
    results = model.predict(enlarged, threshold=0.5)
    drawn = [bk.draw(image, result, model.labels) for image, result in zip(enlarged, results, strict=True)]
    overview(drawn, columns=4).save(path)
