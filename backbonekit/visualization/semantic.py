"""A semantic segmentation: a colour a class, its name in its largest pieces."""

import numpy as np
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import SemanticResult
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.visualization.colours import label_colour
from backbonekit.visualization.regions import name_places, paint_map
from backbonekit.visualization.text import Plates, label_name, line_width


def draw_semantic(image: Image.Image, result: SemanticResult, labels: Labels | None = None) -> Image.Image:
    regions = result.segmentation.numpy()
    present, areas = np.unique(regions, return_counts=True)
    order = [int(label) for label in present[np.argsort(-areas)] if label != IGNORE_LABEL]
    drawn = paint_map(image, regions, {label: label_colour(label) for label in order}, line_width(image.size))
    plates = Plates(drawn)
    for label in order:  # the largest first: where names compete for room, they win
        for place in name_places(regions == label, most=2, smallest=0.004):
            plates.around(label_name(label, labels), place, label_colour(label))
    return drawn
