"""Images of a data set with their targets, on one sheet."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from backbonekit.contract.datasets import Split
from backbonekit.contract.labels import Labels
from backbonekit.contract.results import DepthResult, InstanceResult, KeypointResult, SemanticResult
from backbonekit.data.augmentation.geometry import window
from backbonekit.data.augmentation.resize import fitting
from backbonekit.data.augmentation.sample import Sample, Step
from backbonekit.data.augmented_split import AugmentedSplit, sample_of
from backbonekit.errors import StorageError
from backbonekit.image_processing.pixels import to_image
from backbonekit.visualization.draw import draw
from backbonekit.visualization.overview import overview
from backbonekit.visualization.text import cut_to, font, label_name

_SIDE = 400  # pixels, the longer one of each image: names are readable on it, and 4 x 4 fit a screen


def contact_sheet(
    split: Split, labels: Labels | None = None, *, steps: Sequence[Step] = (), count: int = 16, seed: int = 0
) -> Image.Image:
    """`count` images of the split, evenly spaced, each with what its target says: boxes, masks, keypoints, a map of
    classes, depth beside it, its classes below.

    `steps`: each image is shown behind them, as epoch 0 of a training with this `seed` has it. An image that cannot be
    read has its message instead.
    """
    indices = evenly_spaced(split, count)
    augmented = AugmentedSplit(split, steps, seed=seed, labels=labels)
    tiles = [_tile(augmented, index, labels) for index in indices]
    titles = [split.name(index).rpartition("/")[2] for index in indices]
    return overview(tiles, titles=titles, largest=2 * _SIDE)


def evenly_spaced(split: Split, count: int) -> list[int]:
    """The indices of `count` images, or of all where there are fewer."""
    count = min(count, len(split))
    return [index * len(split) // count for index in range(count)]


def _tile(split: AugmentedSplit, index: int, labels: Labels | None) -> Image.Image:
    try:
        image, target, _ = split[index]
        sample = sample_of(image, target, labels)
    except (StorageError, ValueError) as error:
        return _message(str(error))
    resized = fitting(sample.size, (_SIDE, _SIDE))
    return _drawn(window(sample, resized, resized=resized))


def _drawn(sample: Sample) -> Image.Image:
    pixels = sample.image if sample.image.dtype == torch.uint8 else sample.image.float()
    image, target, labels = to_image(pixels), sample.target, sample.labels
    drawn = image
    if "segmentation" in target:
        drawn = draw(drawn, SemanticResult(target["segmentation"], sample.ignore_label), labels)
    if "labels" in target and "boxes" in target:
        # The largest first: it is drawn below the others.
        sides = target["boxes"][:, 2:] - target["boxes"][:, :2]
        order = (sides[:, 0] * sides[:, 1]).argsort()
        masks = target["masks"][order] if "masks" in target else None
        unknown = torch.full((len(order),), float("nan"))
        names = None if "keypoints" in target and _names_keypoints(target["keypoints"], labels) else labels
        drawn = draw(drawn, InstanceResult(target["labels"][order], unknown, target["boxes"][order], masks), names)
    for points in target.get("keypoints", ()):
        shown = points[:, :2].masked_fill(points[:, 2:] <= 0, float("nan"))
        drawn = draw(drawn, KeypointResult(shown, points[:, 2]), labels)
    if "depth" in target:
        depth = target["depth"].masked_fill(~(target["depth"] > 0), float("nan"))
        drawn = _beside(image, draw(image, DepthResult(depth), labels))
    return drawn if "class" not in target else _below(drawn, _class_names(target["class"], labels))


def _names_keypoints(keypoints: Tensor, labels: Labels | None) -> bool:
    return labels is not None and len(labels.names) == keypoints.shape[1]


def _class_names(given: Tensor, labels: Labels | None) -> str:
    numbers = given.nonzero().flatten().tolist() if given.ndim else [int(given)]
    return ", ".join(label_name(number, labels) for number in numbers) or "none"


def _below(image: Image.Image, text: str) -> Image.Image:
    """The image with a line of text below it."""
    size = 18
    ascent, descent = font(size).getmetrics()
    page = Image.new("RGB", (image.width, image.height + ascent + descent + 4))
    page.paste(image)
    drawing: Any = ImageDraw.Draw(page)
    drawing.text((4, image.height + 1), cut_to(text, size, image.width - 8), font=font(size), fill="white")
    return page


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    page = Image.new("RGB", (left.width + right.width + 2, left.height))
    page.paste(left)
    page.paste(right, (left.width + 2, 0))
    return page


def _message(text: str) -> Image.Image:
    page = Image.new("RGB", (_SIDE, _SIDE), (60, 20, 20))
    words, lines, size = text.split(), [""], 16
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) > _SIDE - 16 and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    shown = "\n".join(cut_to(line, size, _SIDE - 16) for line in lines[:16])
    ImageDraw.Draw(page).multiline_text((8, 8), shown, font=font(size), fill="white")
    return page
