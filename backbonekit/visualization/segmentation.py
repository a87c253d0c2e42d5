"""A semantic or a panoptic segmentation: each region in its colour, with its class's name inside."""

from collections import Counter

import numpy as np
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import PanopticResult, SemanticResult
from backbonekit.visualization.colours import Colour, label_colour
from backbonekit.visualization.legend import Entry
from backbonekit.visualization.regions import name_positions, paint_masks
from backbonekit.visualization.text import NUM_NAMES, Plates, label_name, line_width


def draw_semantic(
    image: Image.Image, result: SemanticResult, labels: Labels | None = None, num_names: int = NUM_NAMES
) -> Image.Image:
    """A colour for each class, its name in its two largest pieces. Pixels without a class stay as they are."""
    regions = result.classes().numpy()
    # The largest first: where names compete for room, they win.
    order = list(_areas(regions))
    drawn = _painted(image, regions, {label: label_colour(label) for label in order})
    plates = Plates(drawn, num_names)
    for label in order:
        for position in name_positions(regions == label, most=2, smallest=0.004):
            plates.around(label_name(label, labels), position, label_colour(label))
    return drawn


def semantic_entries(result: SemanticResult, labels: Labels | None = None) -> list[Entry]:
    """The classes of a legend, the largest first, each with its share of the image."""
    regions = result.classes().numpy()
    return [
        Entry(label_name(label, labels), (label_colour(label),), share(area / regions.size))
        for label, area in _areas(regions).items()
    ]


def draw_panoptic(
    image: Image.Image, result: PanopticResult, labels: Labels | None = None, num_names: int = NUM_NAMES
) -> Image.Image:
    """Each segment in its class's colour, things of one class in shades of it."""
    regions = result.segmentation.numpy()
    colours = _colours(result)
    drawn = _painted(image, regions, colours)
    plates = Plates(drawn, num_names)
    for segment in sorted(result.segments, key=lambda segment: -segment.score):
        for position in name_positions(regions == segment.identifier):
            plates.around(label_name(segment.label, labels), position, colours[segment.identifier])
    return drawn


def panoptic_entries(result: PanopticResult, labels: Labels | None = None) -> list[Entry]:
    """The classes of a legend, the largest first: the number of a thing's segments, the share of the image of others.
    Labels that do not say what things are make all of them things."""
    areas, colours = _areas(result.segmentation.numpy()), _colours(result)
    by_label: dict[int, list[int]] = {}
    for segment in result.segments:
        by_label.setdefault(segment.label, []).append(segment.identifier)
    pixels = {label: sum(areas.get(one, 0) for one in segments) for label, segments in by_label.items()}
    stuff = frozenset() if labels is None else labels.stuff
    entries = []
    for label in sorted(by_label, key=lambda label: -pixels[label]):
        segments = by_label[label]
        amount = share(pixels[label] / result.segmentation.numel()) if label in stuff else f"x{len(segments)}"
        entries.append(Entry(label_name(label, labels), [colours[one] for one in segments], amount))
    return entries


def share(part: float) -> str:
    """A share of an image in per cent; what is there is never 0%."""
    return f"{part:.0%}" if part >= 0.01 else "<1%"


def _areas(regions: np.ndarray) -> dict[int, int]:
    """The number of pixels of each number from 0, the largest first."""
    present, areas = np.unique(regions, return_counts=True)
    order = np.argsort(-areas, kind="stable")
    return {int(number): int(area) for number, area in zip(present[order], areas[order], strict=True) if number >= 0}


def _colours(result: PanopticResult) -> dict[int, Colour]:
    """By segment."""
    seen: Counter[int] = Counter()
    colours: dict[int, Colour] = {}
    for segment in result.segments:
        colours[segment.identifier] = label_colour(segment.label, seen[segment.label])
        seen[segment.label] += 1
    return colours


def _painted(image: Image.Image, regions: np.ndarray, colours: dict[int, Colour]) -> Image.Image:
    masks = (regions == number for number in colours)
    return paint_masks(image, masks, colours.values(), line_width(image.size))
