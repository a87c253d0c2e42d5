"""A semantic or a panoptic segmentation: each region in its colour, with its class's name inside."""

from collections import Counter

import numpy as np
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import PanopticResult, SemanticResult
from backbonekit.visualization.colours import Colour, label_colour
from backbonekit.visualization.regions import name_positions, paint_masks
from backbonekit.visualization.text import Plates, label_name, line_width


def draw_semantic(image: Image.Image, result: SemanticResult, labels: Labels | None = None) -> Image.Image:
    """A colour for each class, its name in its two largest pieces. Pixels without a class stay as they are."""
    regions = result.classes().numpy()
    present, areas = np.unique(regions, return_counts=True)
    # The largest first: where names compete for room, they win.
    order = [int(label) for label in present[np.argsort(-areas)] if label >= 0]
    drawn = _painted(image, regions, {label: label_colour(label) for label in order})
    plates = Plates(drawn)
    for label in order:
        for position in name_positions(regions == label, most=2, smallest=0.004):
            plates.around(label_name(label, labels), position, label_colour(label))
    return drawn


def draw_panoptic(image: Image.Image, result: PanopticResult, labels: Labels | None = None) -> Image.Image:
    """Each segment in its class's colour, things of one class in shades of it."""
    regions = result.segmentation.numpy()
    seen: Counter[int] = Counter()
    colours: dict[int, Colour] = {}
    for segment in result.segments:
        colours[segment.identifier] = label_colour(segment.label, seen[segment.label])
        seen[segment.label] += 1
    drawn = _painted(image, regions, colours)
    plates = Plates(drawn)
    for segment in sorted(result.segments, key=lambda segment: -segment.score):
        for position in name_positions(regions == segment.identifier):
            plates.around(label_name(segment.label, labels), position, colours[segment.identifier])
    return drawn


def _painted(image: Image.Image, regions: np.ndarray, colours: dict[int, Colour]) -> Image.Image:
    masks = (regions == number for number in colours)
    return paint_masks(image, masks, colours.values(), line_width(image.size))
