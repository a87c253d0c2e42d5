"""Keypoints are drawn where they are, and joined where their names say so."""

import numpy as np
import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.contract.labels import Labels
from backbonekit.contract.results import KeypointResult
from backbonekit.visualization.draw import draw
from backbonekit.visualization.keypoints import limbs

COCO = bk.compose_recipe("vitpose_base").labels
GREY = 120
NOWHERE = [float("nan")] * 2


def drawn(points, labels, size=(200, 150)):
    result = KeypointResult(torch.tensor(points), torch.ones(len(points)))
    return np.asarray(draw(np.full((*size, 3), GREY, np.uint8), result, labels)).astype(int)


def test_all_limbs_of_coco_are_joined_and_each_once():
    pairs = limbs(COCO, 17)
    assert len(pairs) == len({frozenset(pair) for pair in pairs}) == 19
    named = {(COCO.names[one], COCO.names[other]) for one, other in pairs}
    assert ("left_elbow", "left_wrist") in named
    assert not any("left" in one and "right" in other and one[5:] != other[6:] for one, other in named)


@pytest.mark.parametrize("names", [("Right Shoulder", "Right Elbow"), ("shoulder_right", "elbow_right")])
def test_names_may_be_written_otherwise(names):
    assert limbs(Labels(names), 2) == [(0, 1)]


@pytest.mark.parametrize(
    ("names", "joined"),
    [
        (("pelvis", "thorax", "upper_neck", "head_top"), {(3, 2), (2, 1), (1, 0)}),  # MPII
        (("top_head", "neck", "left_shoulder"), {(0, 1), (1, 2)}),  # CrowdPose
        (("left_ankle", "left_big_toe", "left_small_toe", "left_heel"), {(0, 1), (0, 2), (0, 3)}),  # COCO-WholeBody
    ],
)
def test_other_sets_of_keypoints(names, joined):
    assert set(limbs(Labels(names), len(names))) == joined


def test_a_small_person_has_finer_lines():
    arm = Labels(("left_shoulder", "left_elbow"))
    wide, fine = (
        (drawn([[400.0, 300.0], [400.0, 300.0 + length]], arm, (900, 900)) != GREY).any(axis=-1)[310].sum()
        for length in (400.0, 60.0)
    )
    assert fine < wide


def test_other_names_and_no_names_join_nothing():
    assert not limbs(Labels(("beak", "tail")), 2)
    assert not limbs(None, 17)
    assert not limbs(COCO, 3)


def test_dots_stand_where_the_keypoints_are():
    image = drawn([[40.0, 60.0], [100.0, 150.0]], None)
    changed = (image != GREY).any(axis=-1)
    assert changed[60, 40]
    assert changed[150, 100]
    assert changed.mean() < 0.01
    assert (image[60, 40] != image[150, 100]).any()


def test_a_limb_is_drawn_where_both_ends_are_found():
    arm = Labels(("left_shoulder", "left_elbow"))
    assert (drawn([[40.0, 60.0], [40.0, 160.0]], arm)[110, 40] != GREY).any()
    assert (drawn([[40.0, 60.0], [40.0, 160.0]], None)[110, 40] == GREY).all()
    assert (drawn([[40.0, 60.0], NOWHERE], arm)[110, 40] == GREY).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (1500, 1000)])
def test_any_size_and_points_outside_the_image(size):
    assert drawn([[-50.0, 3.0], [1e4, 2.0], NOWHERE], None, size).shape == (*size, 3)


def test_nothing_found_leaves_the_image():
    assert (drawn([NOWHERE] * 17, COCO) == GREY).all()
    assert isinstance(
        draw(np.zeros((4, 4, 3), np.uint8), KeypointResult(torch.zeros(0, 2), torch.zeros(0))), Image.Image
    )
