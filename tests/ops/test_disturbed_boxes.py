"""Disturbed copies of the truth: how far they are moved, which are which, who may see whom."""

import torch

from backbonekit.ops.boxes import corners_of
from backbonekit.ops.disturbed_boxes import disturbed_boxes, groups_apart

BOXES = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.3, 0.6, 0.1, 0.1]], [[0.4, 0.4, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0]]])
LABELS = torch.tensor([[2, 0], [1, 0]])
PRESENT = torch.tensor([[True, True], [True, False]])


def disturb(count=5, label_noise=0.5, box_noise=1.0):
    return disturbed_boxes(
        LABELS, BOXES, PRESENT, num_classes=3, count=count, label_noise=label_noise, box_noise=box_noise
    )


def test_groups_hold_positives_then_negatives():
    given = disturb()
    assert given.group_size == 4
    assert given.target_index.tolist() == [[0, 1] * 4, [0, -1] * 4]
    assert given.is_positive.tolist() == [[True, True, False, False] * 2] * 2


def test_edges_move_less_than_half_a_side_or_between_half_and_a_whole_one():
    torch.manual_seed(0)
    given = disturb(count=2_000)
    moved = (corners_of(given.box_logits.sigmoid()) - corners_of(BOXES).repeat(1, 2_000, 1)).abs()
    half_sides = BOXES[..., 2:].repeat(1, 2_000, 2) / 2
    shares = (moved / half_sides.clamp(min=1e-9))[0]  # of the image whose boxes stay on it
    positive = given.is_positive[0]
    assert shares[positive].max() <= 1.01
    assert shares[positive].max() > 0.99
    # Where edges crossed, a box has no side left, as in the reference.
    negative = ~positive & (given.box_logits[0, :, 2:].sigmoid() > 1e-4).all(-1)
    assert negative.sum() > 1_000
    assert shares[negative].min() >= 0.99
    assert 1.9 < shares[negative].max() <= 2.01


def test_a_quarter_of_the_labels_is_drawn_anew_and_empty_slots_keep_theirs():
    torch.manual_seed(0)
    given = disturb(count=4_000)
    drawn = given.labels[given.target_index >= 0]
    true = LABELS.repeat(1, 4_000)[given.target_index >= 0]
    assert 0.14 < (drawn != true).float().mean() < 0.19  # a quarter, of which a third is the same again
    assert set(drawn.tolist()) == {0, 1, 2}
    assert (given.labels[given.target_index < 0] == 3).all()


def test_without_noise_they_are_the_truth():
    given = disturb(label_noise=0.0, box_noise=0.0)
    torch.testing.assert_close(given.box_logits.sigmoid()[0], BOXES[0].repeat(4, 1), atol=1e-4, rtol=0)
    assert given.labels[0].tolist() == [2, 0] * 4


def test_no_box_gives_no_query():
    empty = torch.zeros(2, 0)
    given = disturbed_boxes(
        empty.long(), torch.zeros(2, 0, 4), empty.bool(), num_classes=3, count=5, label_noise=0.5, box_noise=1.0
    )
    assert given.labels.shape == (2, 0)
    assert given.box_logits.shape == (2, 0, 4)
    assert groups_apart(0, given.group_size, 3, device=torch.device("cpu")).all()


def test_groups_see_themselves_and_the_ordinary_who_see_none_of_them():
    mask = groups_apart(4, 2, 1, device=torch.device("cpu"))[0, 0].int().tolist()
    assert mask == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]
