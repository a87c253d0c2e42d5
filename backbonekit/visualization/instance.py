"""Things: masks where there are masks, else boxes; names and scores."""

import math
from collections import Counter

from PIL import Image, ImageDraw

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import InstanceResult
from backbonekit.visualization.colours import Colour, label_colour
from backbonekit.visualization.legend import Entry
from backbonekit.visualization.regions import paint_masks
from backbonekit.visualization.text import NUM_NAMES, Box, Plates, label_name, line_width


def draw_instances(
    image: Image.Image, result: InstanceResult, labels: Labels | None = None, num_names: int = NUM_NAMES
) -> Image.Image:
    """The best is drawn last, on top; names are placed best first. A score of NaN, as a target has, is not written."""
    width = line_width(image.size)
    numbers, colours = result.labels.tolist(), _colours(result.labels.tolist())
    boxes = [_inside(box, image.size) for box in result.boxes_xyxy.tolist()]
    if result.masks is None:
        drawn = image.copy()
    else:
        drawn = paint_masks(image, result.masks.numpy()[::-1], reversed(colours), width)
        width = max(1, width // 2)
    # Not torchvision.utils.draw_bounding_boxes: its labels stay at one font size (unreadable on 1500 x 2000 pixels),
    # cover one another and leave the image; without labels it makes this same call of Pillow.
    drawing = ImageDraw.Draw(drawn)
    for (left, top, right, bottom), colour in zip(reversed(boxes), reversed(colours), strict=True):
        drawing.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)
    plates = Plates(drawn, num_names)
    for label, score, box, colour in zip(numbers, result.scores.tolist(), boxes, colours, strict=True):
        percent = "" if math.isnan(score) else f" {score:.0%}"
        plates.beside_box(f"{label_name(label, labels)}{percent}", box, colour)
    return drawn


def instance_entries(result: InstanceResult, labels: Labels | None = None) -> list[Entry]:
    """The classes of a legend, that of the best thing first, each with the number of its things."""
    numbers = result.labels.tolist()
    shades: dict[int, list[Colour]] = {}
    for label, colour in zip(numbers, _colours(numbers), strict=True):
        shades.setdefault(label, []).append(colour)
    return [Entry(label_name(label, labels), colours, f"x{len(colours)}") for label, colours in shades.items()]


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
