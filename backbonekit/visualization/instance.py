"""Things: masks where there are masks, else boxes; names and scores."""

from collections import Counter

import numpy as np
from PIL import Image, ImageDraw

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import InstanceResult
from backbonekit.visualization.colours import Colour, label_colour
from backbonekit.visualization.regions import paint_mask
from backbonekit.visualization.text import Box, Plates, label_name, line_width


def draw_instances(image: Image.Image, result: InstanceResult, labels: Labels | None = None) -> Image.Image:
    drawn, width = image.copy(), line_width(image.size)
    numbers, colours = result.labels.tolist(), _colours(result.labels.tolist())
    boxes = [_inside(box, image.size) for box in result.boxes_xyxy.tolist()]
    if result.masks is not None:
        pixels = np.asarray(image).astype(np.float32)
        for index in reversed(range(len(numbers))):  # the best last, on top
            paint_mask(pixels, result.masks[index].numpy(), colours[index], width)
        drawn = Image.fromarray(pixels.round().astype(np.uint8))
    drawing = ImageDraw.Draw(drawn)
    for index in reversed(range(len(numbers))):
        left, top, right, bottom = boxes[index]
        thickness = max(1, width // 2) if result.masks is not None else width
        drawing.rectangle((left, top, right - 1, bottom - 1), outline=colours[index], width=thickness)
    plates = Plates(drawn)
    for label, score, box, colour in zip(numbers, result.scores.tolist(), boxes, colours, strict=True):
        plates.beside_box(f"{label_name(label, labels)} {score:.0%}", box, colour)
    return drawn


def _colours(numbers: list[int]) -> list[Colour]:
    seen: Counter[int] = Counter()
    colours = []
    for label in numbers:
        colours.append(label_colour(label, seen[label]))
        seen[label] += 1
    return colours


def _inside(box: list[float], size: tuple[int, int]) -> Box:
    """Whole pixels, at least one, within the image."""
    left, top = min(max(int(box[0]), 0), size[0] - 1), min(max(int(box[1]), 0), size[1] - 1)
    return left, top, max(min(round(box[2]), size[0]), left + 1), max(min(round(box[3]), size[1]), top + 1)
