"""Denoising queries: the noise of boxes and labels, positives and negatives, the attention mask."""

import torch

from backbonekit.ops.boxes import cxcywh_to_xyxy
from backbonekit.ops.denoising import denoising_attention_mask, noised_boxes

BOXES = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.3, 0.6, 0.1, 0.1]], [[0.4, 0.4, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0]]])
LABELS = torch.tensor([[2, 0], [1, 0]])
PRESENT = torch.tensor([[True, True], [True, False]])


def noised(count=5, label_noise=0.5, box_noise=1.0):
    return noised_boxes(
        LABELS, BOXES, PRESENT, num_classes=3, count=count, label_noise=label_noise, box_noise=box_noise
    )


def test_groups_hold_positives_then_negatives():
    given = noised()
    assert given.group_size == 4
    assert given.target_index.tolist() == [[0, 1] * 4, [0, -1] * 4]
    assert given.is_positive.tolist() == [[True, True, False, False] * 2] * 2


def test_edges_move_less_than_half_a_side_or_between_half_and_a_whole_one():
    torch.manual_seed(0)
    given = noised(count=2_000)
    moved = (cxcywh_to_xyxy(given.box_logits.sigmoid()) - cxcywh_to_xyxy(BOXES).repeat(1, 2_000, 1)).abs()
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


def test_a_quarter_of_the_labels_is_drawn_anew_and_the_padding_keeps_its_label():
    torch.manual_seed(0)
    given = noised(count=4_000)
    drawn = given.labels[given.target_index >= 0]
    true = LABELS.repeat(1, 4_000)[given.target_index >= 0]
    assert 0.14 < (drawn != true).float().mean() < 0.19  # a quarter, of which a third is the same again
    assert set(drawn.tolist()) == {0, 1, 2}
    assert (given.labels[given.target_index < 0] == 3).all()


def test_without_noise_they_are_the_targets():
    given = noised(label_noise=0.0, box_noise=0.0)
    torch.testing.assert_close(given.box_logits.sigmoid()[0], BOXES[0].repeat(4, 1), atol=1e-4, rtol=0)
    assert given.labels[0].tolist() == [2, 0] * 4


def test_without_boxes_there_are_no_queries():
    empty = torch.zeros(2, 0)
    given = noised_boxes(
        empty.long(), torch.zeros(2, 0, 4), empty.bool(), num_classes=3, count=5, label_noise=0.5, box_noise=1.0
    )
    assert given.labels.shape == (2, 0)
    assert given.box_logits.shape == (2, 0, 4)
    assert denoising_attention_mask(0, given.group_size, 3, device=torch.device("cpu")).all()


def test_groups_attend_to_themselves_and_to_matching_queries_which_attend_to_none_of_them():
    mask = denoising_attention_mask(4, 2, 1, device=torch.device("cpu"))[0, 0].int().tolist()
    assert mask == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 1]]
