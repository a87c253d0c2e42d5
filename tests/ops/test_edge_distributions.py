"""Edges as distributions: what bins stand for, and that going there and back changes nothing."""

import pytest
import torch

from backbonekit.ops.boxes import corners_of
from backbonekit.ops.edge_distributions import (
    bin_distances,
    boxes_at,
    distances_to,
    expected_distances,
    nearest_bins,
)

REACH, SCALE = torch.tensor([0.5], dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64)


def test_bins_are_symmetric_fine_in_the_middle_and_reach_as_far_as_said():
    distances = bin_distances(32, reach=REACH, scale=SCALE)
    assert len(distances) == 33
    torch.testing.assert_close(distances, -distances.flip(0))
    steps = distances.diff()
    assert (steps > 0).all()
    assert (steps[16:].diff() > 0).all()
    assert distances[16] == 0
    assert distances[-1] == 4  # twice the reach, times the scale
    assert distances[-2] == pytest.approx(2)


def test_no_change_is_the_reference():
    references = torch.rand(5, 4, dtype=torch.float64)
    torch.testing.assert_close(boxes_at(references, torch.zeros(5, 4, dtype=torch.float64), SCALE), references)


def test_there_and_back():
    references = torch.rand(5, 4, dtype=torch.float64) + 0.1
    wanted = torch.rand(5, 4, dtype=torch.float64) + 0.1
    distances = distances_to(references, corners_of(wanted), SCALE)
    torch.testing.assert_close(boxes_at(references, distances, SCALE), wanted)


def test_two_bins_say_any_distance_between_the_ends():
    distances = bin_distances(16, reach=REACH, scale=SCALE)
    wanted = torch.linspace(-3.99, 3.99, 101, dtype=torch.float64)
    below, share = nearest_bins(wanted, distances)
    torch.testing.assert_close(distances[below] * (1 - share) + distances[below + 1] * share, wanted)
    assert ((share >= 0) & (share <= 1)).all()


def test_beyond_the_ends_are_the_ends():
    distances = bin_distances(16, reach=REACH, scale=SCALE)
    below, share = nearest_bins(torch.tensor([-9.0, 9.0, 4.0], dtype=torch.float64), distances)
    assert below.tolist() == [0, 15, 15]
    assert share.tolist() == [0, 1, 1]


def test_the_mean_of_a_sure_edge_is_its_bin():
    distances = bin_distances(6, reach=REACH, scale=SCALE)
    logits = torch.full((1, 4, 7), -1e9)
    logits[0, range(4), [0, 3, 5, 6]] = 0
    torch.testing.assert_close(expected_distances(logits, distances)[0], distances[[0, 3, 5, 6]].float())
