"""What a drawing shows beside the results: a legend, a warning, and no more names than it has room for."""

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    Segment,
    SemanticResult,
)
from backbonekit.errors import ContractError
from backbonekit.visualization.colours import label_colour
from backbonekit.visualization.draw import draw
from backbonekit.visualization.instance import instance_entries
from backbonekit.visualization.segmentation import panoptic_entries, semantic_entries
from backbonekit.visualization.text import Plates

GREY = 120
LABELS = Labels(("cat", "sky", "tree"), things=frozenset({0}))


def grey(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def boxes(*scores: float, labels: tuple[int, ...] | None = None) -> InstanceResult:
    count = len(scores)
    corners = torch.tensor([[10.0 + 60 * n, 40.0, 50.0 + 60 * n, 90.0] for n in range(count)]).reshape(count, 4)
    return InstanceResult(torch.tensor(labels or [0] * count), torch.tensor(scores), corners)


def panoptic() -> PanopticResult:
    regions = torch.zeros(240, 320, dtype=torch.int64)
    regions[:120], regions[120:, :80], regions[120:, 80:160] = 1, 2, 3
    return PanopticResult(regions, [Segment(1, 1, 0.9), Segment(2, 0, 0.8), Segment(3, 0, 0.3)])


def colours_of(drawn: Image.Image, left: int = 0) -> set[tuple[int, ...]]:
    return {tuple(colour) for colour in np.unique(np.asarray(drawn)[:, left:].reshape(-1, 3), axis=0).tolist()}


def test_scores_below_the_threshold_are_not_drawn():
    kept, lost = label_colour(0, 0), label_colour(0, 1)
    both = colours_of(draw(grey(), boxes(0.9, 0.4)))
    assert {kept, lost} <= both
    high = colours_of(draw(grey(), boxes(0.9, 0.4), threshold=0.5))
    assert kept in high
    assert lost not in high
    unknown = boxes(float("nan"))
    assert kept in colours_of(draw(grey(), unknown, threshold=1.0))
    masks = boxes(0.9, 0.4)
    masks.masks = torch.ones(2, 240, 320, dtype=torch.bool)
    assert lost not in colours_of(draw(grey(), masks, threshold=0.5))
    assert label_colour(0, 1) not in colours_of(draw(grey(), panoptic(), LABELS, threshold=0.5))
    points = KeypointResult(torch.tensor([[40.0, 60.0], [100.0, 150.0]]), torch.tensor([0.9, 0.1]))
    drawn = np.asarray(draw(grey(), points, threshold=0.5))
    assert (drawn[60, 40] != GREY).any()
    assert (drawn[150, 100] == GREY).all()
    classes = ClassResult(torch.tensor([0, 1]), torch.tensor([0.9, 0.1]))
    assert label_colour(1) not in colours_of(draw(grey(), classes, threshold=0.5))


def test_options_without_effect_and_outside_their_range_raise():
    semantic = SemanticResult(torch.zeros(240, 320, dtype=torch.int64))
    with pytest.raises(ContractError, match=r"threshold=0.5: SemanticResult has no scores"):
        draw(grey(), semantic, threshold=0.5)
    draw(grey(), {"seg": semantic, "things": boxes(0.9)}, threshold=0.5)
    with pytest.raises(ContractError, match=r"threshold=1.5: must be"):
        draw(grey(), boxes(0.9), threshold=1.5)
    with pytest.raises(ContractError, match=r"num_names=-1"):
        draw(grey(), boxes(0.9), num_names=-1)


def test_no_more_names_than_asked_for_and_the_best_are_named():
    plates = Plates(Image.new("RGB", (640, 480)), 3)
    placed = [plates.beside_box("name", (10, 40 * n, 60, 40 * n + 20), label_colour(n)) for n in range(1, 8)]
    assert placed == [True] * 3 + [False] * 4
    best = np.asarray(draw(grey(), boxes(0.9, 0.8), num_names=1)).astype(int)
    none = np.asarray(draw(grey(), boxes(0.9, 0.8), num_names=0)).astype(int)
    columns = (best != none).any(axis=(0, 2)).nonzero()[0]
    assert 10 <= columns.min() <= columns.max() < 70  # beside the first box


def test_a_legend_has_the_classes_with_their_colours_and_amounts():
    entries = instance_entries(boxes(0.9, 0.8, 0.7, labels=(0, 2, 0)), LABELS)
    assert [(one.name, one.amount) for one in entries] == [("cat", "x2"), ("tree", "x1")]
    assert list(entries[0].colours) == [label_colour(0, 0), label_colour(0, 1)]
    assert [(one.name, one.amount) for one in panoptic_entries(panoptic(), LABELS)] == [("sky", "50%"), ("cat", "x2")]
    segmentation = torch.zeros(240, 320, dtype=torch.int64)
    segmentation[:60], segmentation[0, 0], segmentation[1] = 2, 1, 255
    shares = [(one.name, one.amount) for one in semantic_entries(SemanticResult(segmentation), LABELS)]
    assert shares == [("cat", "75%"), ("tree", "25%"), ("sky", "<1%")]
    drawn = draw(grey(), panoptic(), LABELS, legend=True)
    assert drawn.height == 240
    assert {label_colour(1), label_colour(0, 0), label_colour(0, 1)} <= colours_of(drawn, left=320)
    assert np.array_equal(np.asarray(drawn)[:, :320], np.asarray(draw(grey(), panoptic(), LABELS)))


def test_a_legend_keeps_the_size_of_a_video_and_is_cut_to_the_image():
    sizes = {draw(grey(), one, LABELS, legend=True).size for one in (boxes(), boxes(0.9), boxes(*[0.9] * 5))}
    assert len(sizes) == 1
    many = boxes(*[0.9] * 5, labels=tuple(range(5)))
    assert draw(grey(40, 300), many, legend=True).height == 40
    assert draw(grey(30, 40), SemanticResult(torch.zeros(30, 40, dtype=torch.int64)), legend=True).size == (40, 30)
    assert draw(grey(), DepthResult(torch.ones(240, 320)), legend=True).size == (320, 240)


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (48, 64), (480, 640)])
def test_a_stamp_is_seen_at_every_size(size):
    plain = draw(grey(*size), SemanticResult(torch.full(size, 255)))
    drawn = draw(grey(*size), SemanticResult(torch.full(size, 255)), stamp="random weights")
    assert drawn.size == plain.size
    changed = (np.asarray(drawn) != np.asarray(plain)).any(axis=-1)
    assert changed[[0, -1]].all()
    assert changed[:, [0, -1]].all()
    if size[0] >= 48:
        assert (np.asarray(drawn) > 200).all(axis=-1).any()  # white letters


def test_tasks_are_stamped_each_and_have_their_legends():
    results = {"things": boxes(0.9), "depth": DepthResult(torch.ones(240, 320))}
    sheet, stamped = (draw(grey(), results, LABELS, legend=True, stamp=stamp) for stamp in (None, "random weights"))
    assert sheet.size == stamped.size
    assert label_colour(0) in colours_of(sheet)
    changed = np.flatnonzero((np.asarray(sheet) != np.asarray(stamped)).any(axis=(0, 2)))
    assert np.ptp(changed) > 320  # in both


def test_the_persons_of_an_image_are_drawn_together_and_other_lists_are_refused():
    persons = [KeypointResult(torch.tensor([[x, 60.0]]), torch.ones(1)) for x in (40.0, 200.0)]
    drawn = np.asarray(draw(grey(), persons))
    assert (drawn[60, 40] != GREY).any()
    assert (drawn[60, 200] != GREY).any()
    assert (np.asarray(draw(grey(), [])) == GREY).all()
    with pytest.raises(ContractError, match=r"The fix: one result, such as model.predict\(images\)\[0\]"):
        draw(grey(), [boxes(0.9)])
