"""A panoptic segmentation: each segment in its class's colour, things of one class in shades of it."""

from collections import Counter

from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import PanopticResult
from backbonekit.visualization.colours import Colour, label_colour
from backbonekit.visualization.regions import name_places, paint_map
from backbonekit.visualization.text import Plates, label_name, line_width


def draw_panoptic(image: Image.Image, result: PanopticResult, labels: Labels | None = None) -> Image.Image:
    regions = result.segmentation.numpy()
    seen: Counter[int] = Counter()
    colours: dict[int, Colour] = {}
    for segment in result.segments:
        colours[segment.identifier] = label_colour(segment.label, seen[segment.label])
        seen[segment.label] += 1
    drawn = paint_map(image, regions, colours, line_width(image.size))
    plates = Plates(drawn)
    for segment in sorted(result.segments, key=lambda segment: -segment.score):
        for place in name_places(regions == segment.identifier):
            plates.around(label_name(segment.label, labels), place, colours[segment.identifier])
    return drawn
