"""A person's keypoints, joined to limbs where their names say which belong together."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import KeypointResult
from backbonekit.visualization.colours import label_colour
from backbonekit.visualization.text import line_width

# By name, so that they hold for any set of keypoints that has some of them (COCO, COCO-WholeBody's feet, MPII,
# CrowdPose, AIC).
_ONE_SIDE = (
    ("eye", "ear"),
    ("ear", "shoulder"),
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("shoulder", "hip"),
    ("hip", "knee"),
    ("knee", "ankle"),
    ("ankle", "heel"),
    ("ankle", "big_toe"),
    ("ankle", "small_toe"),
)
_ACROSS = ("eye", "shoulder", "hip")
LIMBS: tuple[tuple[str, str], ...] = (
    ("head_top", "neck"),
    ("neck", "thorax"),
    ("thorax", "pelvis"),
    *(("neck", f"{side}_shoulder") for side in ("left", "right")),
    *(("nose", f"{side}_eye") for side in ("left", "right")),
    *((f"{side}_{one}", f"{side}_{other}") for side in ("left", "right") for one, other in _ONE_SIDE),
    *((f"left_{name}", f"right_{name}") for name in _ACROSS),
)
_SIDES = sorted({part for pair in _ONE_SIDE for part in pair})
_OTHER_NAMES = {
    **{f"{name}_{side}": f"{side}_{name}" for side in ("left", "right") for name in _SIDES},
    **{"upper_neck": "neck", "top_head": "head_top", "head": "head_top"},
}
_OUTLINE = (0, 0, 0)
_FINEST = 60  # how many lines beside one another are as high as a person


# Not torchvision.utils.draw_keypoints: one colour for all points, white limbs drawn over them, no outline.
def draw_keypoints(image: Image.Image, result: KeypointResult, labels: Labels | None = None) -> Image.Image:
    """A dot for each keypoint that was found, in its own colour, over outlined lines for the limbs between found ones;
    finer ones on a small person."""
    drawn = image.copy()
    drawing = ImageDraw.Draw(drawn)
    is_found = torch.isfinite(result.keypoints).all(dim=-1)
    found = is_found.tolist()
    width = 2 * line_width(image.size)
    if sum(found) > 1:
        there = result.keypoints[is_found]
        height = float((there.amax(dim=0) - there.amin(dim=0)).amax())
        width = max(1, min(width, round(height / _FINEST)))
    points = [(x, y) for x, y in result.keypoints.tolist()]
    for one, other in limbs(labels, len(points)):
        if found[one] and found[other]:
            line = (*points[one], *points[other])
            drawing.line(line, fill=_OUTLINE, width=width + 2 * max(1, width // 4))
            drawing.line(line, fill=label_colour(other), width=width)
    for index, (x, y) in enumerate(points):
        if found[index]:
            box = (x - width, y - width, x + width, y + width)
            drawing.ellipse(box, fill=label_colour(index), outline=_OUTLINE)
    return drawn


def limbs(labels: Labels | None, count: int) -> Sequence[tuple[int, int]]:
    """The pairs of keypoints, by their numbers, that a line joins; none where the names are other ones."""
    if labels is None or len(labels.names) != count:
        return ()
    written = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in labels.names]
    numbers = {_OTHER_NAMES.get(name, name): number for number, name in enumerate(written)}
    return [(numbers[one], numbers[other]) for one, other in LIMBS if one in numbers and other in numbers]
