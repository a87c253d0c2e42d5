"""What is drawn stands where the result is, at every size, and reads."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    PanopticResult,
    Segment,
    SemanticResult,
)
from backbonekit.errors import ContractError
from backbonekit.visualization.colours import label_colour, ramp, text_colour
from backbonekit.visualization.draw import draw
from backbonekit.visualization.overview import overview
from backbonekit.visualization.regions import name_positions
from backbonekit.visualization.text import Plates, font_size, label_name

LABELS = Labels(("cat", "a sky with a name that is much longer than any image is wide", "tree"))
SIZES = [(40, 60), (1, 1), (3, 200), (480, 640), (1500, 2000)]
GREY = 120


def image(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def disc(height: int, width: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return (rows**2 + (columns - 0.2) ** 2) < 0.25


def results_for(height: int, width: int) -> dict:
    mask = disc(height, width)
    mask[0, 0] = True
    boxes = torch.tensor(
        [[-3.0, -3.0, width + 9.0, height + 9.0], [width * 0.4, height * 0.2, width * 0.6, height * 0.9]]
    )
    labels, scores = torch.tensor([0, 2]), torch.tensor([0.9, 0.6])
    segmentation = torch.where(mask, 2, 1)
    segmentation[-1, -1] = 255
    depth = torch.linspace(1, 9, width).expand(height, width).clone()
    depth[0, 0] = float("nan")
    return {
        "semantic": SemanticResult(segmentation),
        "panoptic": PanopticResult(mask.long() * 2, [Segment(2, 0, 0.9)]),
        "instance": InstanceResult(labels, scores, boxes, torch.stack([mask, ~mask])),
        "boxes": InstanceResult(labels, scores, boxes),
        "depth": DepthResult(depth),
        "classes": ClassResult(torch.tensor([2, 0, 1]), torch.tensor([0.7, 0.2, 0.1])),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", list(results_for(4, 4)))
def test_every_kind_at_every_size(size, kind):
    result = results_for(*size)[kind]
    before = image(*size)
    for labels in (LABELS, None):
        drawn = draw(before, result, labels)
        assert drawn.mode == "RGB"
        assert drawn.size == (size[1], size[0])
    assert (before == GREY).all()
    if min(size) >= 40:
        assert (np.asarray(drawn) != GREY).any()


@pytest.mark.parametrize("size", [(40, 60), (480, 640)])
def test_masks_are_coloured_where_they_are(size):
    mask = disc(*size)
    result = InstanceResult(torch.tensor([2]), torch.tensor([0.9]), torch.tensor([[0.0, 0.0, 1.0, 1.0]]), mask[None])
    changed = (np.asarray(draw(image(*size), result, Labels(("a", "b", "c")))) != GREY).any(axis=-1)
    assert changed[mask.numpy()].all()
    outside = changed & ~mask.numpy()
    assert outside.mean() < 0.08  # the name's plate and a box of one pixel
    panoptic = PanopticResult(mask.long(), [Segment(1, 2, 0.9)])
    changed = (np.asarray(draw(image(*size), panoptic, Labels(("a", "b", "c")))) != GREY).any(axis=-1)
    assert np.array_equal(changed, mask.numpy())


def test_pixels_without_a_class_stay():
    segmentation = torch.where(disc(60, 80), 1, 255)
    changed = (np.asarray(draw(image(60, 80), SemanticResult(segmentation))) != GREY).any(axis=-1)
    assert np.array_equal(changed, segmentation.numpy() == 1)
    nothing = draw(image(60, 80), SemanticResult(torch.full((60, 80), 255)))
    assert (np.asarray(nothing) == GREY).all()


def test_nothing_found_leaves_the_image():
    empty = InstanceResult(
        torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 4), torch.zeros(0, 30, 40) > 0
    )
    for result in (empty, PanopticResult(torch.zeros(30, 40, dtype=torch.int64), []), ClassResult(*torch.zeros(2, 0))):
        assert (np.asarray(draw(image(30, 40), result)) == GREY).all()
    assert draw(image(30, 40), DepthResult(torch.full((30, 40), float("nan")))).size == (40, 30)


def test_near_is_brighter_than_far():
    drawn = np.asarray(draw(image(300, 400), results_for(300, 400)["depth"]).convert("L")).astype(int)
    assert (np.diff(drawn[10, 10:]) <= 0).all()
    assert drawn[10, 10] > drawn[10, -10] + 100
    flat = np.asarray(draw(image(30, 40), DepthResult(torch.full((30, 40), 5.0))))
    assert (flat == flat[0, 0]).all()


def test_where_large_is_near_the_same_depths_are_drawn_the_other_way_round():
    depth = torch.linspace(1, 5, 40).expand(30, 40)
    far, near = (
        np.asarray(draw(image(30, 40), DepthResult(depth, is_distance=is_distance))) for is_distance in (True, False)
    )
    assert np.array_equal(near, far[:, ::-1])


def test_a_grey_a_transparent_and_a_deep_image_are_drawn_on():
    result = results_for(30, 40)["semantic"]
    for given in (
        Image.new("L", (40, 30)),
        Image.new("RGBA", (40, 30)),
        np.zeros((30, 40), np.uint16),
        torch.rand(9, 30, 40),
    ):
        assert draw(given, result).size == (40, 30)


def test_several_tasks_stand_side_by_side():
    sheet = draw(image(120, 160), {name: results_for(120, 160)[name] for name in ("semantic", "depth")})
    assert sheet.width > 320 or sheet.height > 240


def test_a_result_of_another_image_raises():
    with pytest.raises(ContractError, match="30 x 40"):
        draw(image(31, 40), results_for(30, 40)["semantic"])


def test_colours_are_stable_distinct_and_readable():
    colours = [label_colour(label) for label in range(200)]
    assert colours == [label_colour(label) for label in range(200)]
    distances = [np.abs(np.subtract(one, other)).sum() for one, other in itertools.combinations(colours[:20], 2)]
    assert min(distances) > 40
    assert len(set(colours)) > 190
    assert label_colour(3, 1) != label_colour(3)
    for colour in colours:
        assert _contrast(colour, text_colour(colour)) > 4.5  # WCAG AA
    assert (np.diff(np.asarray(Image.fromarray(ramp()[None]).convert("L")).astype(int)[0]) >= 0).all()


def _contrast(one: tuple, other: tuple) -> float:
    def luminance(colour: tuple) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (channel / 255 for channel in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_plates_never_cover_one_another():
    image = Image.new("RGB", (640, 480))
    plates = Plates(image)
    placed = sum(
        plates.beside_box(f"name {number}", (100, 100, 200, 150), label_colour(number)) for number in range(30)
    )
    assert 2 <= placed < 30
    for (left, top, right, bottom), (left2, top2, right2, bottom2) in itertools.combinations(plates._taken, 2):
        assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
    assert all(box[0] >= 0 and box[2] <= 640 and box[1] >= 0 and box[3] <= 480 for box in plates._taken)


def test_text_grows_with_the_image_and_names_are_tamed():
    assert font_size((60, 40)) < font_size((640, 480)) < font_size((2000, 1500))
    assert label_name(7, LABELS) == "7"
    assert label_name(1, None) == "1"
    assert len(label_name(1, LABELS)) == 40
    assert "\n" not in label_name(0, Labels(("two\nlines\x1b[31m",)))


def test_a_name_stands_inside_its_region():
    ring = disc(90, 130) & ~disc(90, 130).roll(12, 1)  # a crescent: its centre of mass may lie outside
    ((x, y),) = name_positions(ring.numpy())
    assert ring[round(y), round(x)]
    assert name_positions(np.zeros((50, 50), bool)) == []
    assert len(name_positions(np.eye(1000, 1000, dtype=bool) | True)) == 1


def test_an_overview():
    images = [Image.new("RGB", (100, 50)), Image.new("L", (30, 90)), Image.new("RGB", (2000, 1000))]
    sheet = overview(images, titles=["one", "two", "three " * 40], columns=2, largest=200)
    assert sheet.width < 500
    assert sheet.mode == "RGB"
    assert overview(images[:1], columns=9).width < 130
    with pytest.raises(ContractError, match="at least one"):
        overview([])
