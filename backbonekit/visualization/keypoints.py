"""A person's keypoints, joined to limbs where their names say which belong together."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import KeypointResult
from backbonekit.visualization.colours import label_colour
from backbonekit.visualization.text import line_width

# By name, so that they hold for any set of keypoints that has some of them (COCO, MPII, CrowdPose, AIC).
_ONE_SIDE = (
    ("eye", "ear"),
    ("ear", "shoulder"),
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("shoulder", "hip"),
    ("hip", "knee"),
    ("knee", "ankle"),
)
_ACROSS = ("eye", "shoulder", "hip")
LIMBS: tuple[tuple[str, str], ...] = (
    *(("nose", f"{side}_eye") for side in ("left", "right")),
    *((f"{side}_{one}", f"{side}_{other}") for side in ("left", "right") for one, other in _ONE_SIDE),
    *((f"left_{name}", f"right_{name}") for name in _ACROSS),
)
_OUTLINE = (0, 0, 0)


# Not torchvision.utils.draw_keypoints: one colour for all points, white limbs drawn over them, no outline.
def draw_keypoints(image: Image.Image, result: KeypointResult, labels: Labels | None = None) -> Image.Image:
    """A dot for each keypoint that was found, in its own colour, over lines for the limbs between found ones."""
    drawn, width = image.copy(), 2 * line_width(image.size)
    drawing = ImageDraw.Draw(drawn)
    found = torch.isfinite(result.keypoints).all(dim=-1).tolist()
    points = [(x, y) for x, y in result.keypoints.tolist()]
    for one, other in limbs(labels, len(points)):
        if found[one] and found[other]:
            drawing.line((*points[one], *points[other]), fill=label_colour(other), width=width)
    for index, (x, y) in enumerate(points):
        if found[index]:
            box = (x - width, y - width, x + width, y + width)
            drawing.ellipse(box, fill=label_colour(index), outline=_OUTLINE)
    return drawn


def limbs(labels: Labels | None, count: int) -> Sequence[tuple[int, int]]:
    """The pairs of keypoints, by their numbers, that a line joins; none where the names are other ones."""
    if labels is None or len(labels.names) != count:
        return ()
    numbers = {name.strip().lower().replace(" ", "_").replace("-", "_"): n for n, name in enumerate(labels.names)}
    swapped = {f"{side}_{name}": f"{name}_{side}" for side in ("left", "right") for name in _PARTS}
    placed = {name: numbers.get(name, numbers.get(swapped.get(name, name), -1)) for pair in LIMBS for name in pair}
    return [(placed[one], placed[other]) for one, other in LIMBS if placed[one] >= 0 and placed[other] >= 0]


_PARTS = sorted({part for pair in _ONE_SIDE for part in pair})
