"""Distributions of edges: distances of bins, conversion between boxes and distances."""

import pytest
import torch

from backbonekit.ops.boxes import cxcywh_to_xyxy
from backbonekit.ops.edge_distributions import (
    boxes_to_distances,
    distances_to_boxes,
    expected_distances,
    neighbouring_bins,
    weighting_function,
)

REACH, SCALE = torch.tensor([0.5], dtype=torch.float64), torch.tensor([4.0], dtype=torch.float64)


def test_bins_are_symmetric_fine_in_the_middle_and_end_at_the_reach():
    distances = weighting_function(32, reach=REACH, scale=SCALE)
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
    torch.testing.assert_close(
        distances_to_boxes(references, torch.zeros(5, 4, dtype=torch.float64), SCALE), references
    )


def test_conversions_are_inverse():
    references = torch.rand(5, 4, dtype=torch.float64) + 0.1
    target = torch.rand(5, 4, dtype=torch.float64) + 0.1
    distances = boxes_to_distances(references, cxcywh_to_xyxy(target), SCALE)
    torch.testing.assert_close(distances_to_boxes(references, distances, SCALE), target)


def test_two_bins_express_any_distance_between_the_ends():
    distances = weighting_function(16, reach=REACH, scale=SCALE)
    target = torch.linspace(-3.99, 3.99, 101, dtype=torch.float64)
    below, share = neighbouring_bins(target, distances)
    torch.testing.assert_close(distances[below] * (1 - share) + distances[below + 1] * share, target)
    assert ((share >= 0) & (share <= 1)).all()


def test_beyond_the_ends_are_the_ends():
    distances = weighting_function(16, reach=REACH, scale=SCALE)
    below, share = neighbouring_bins(torch.tensor([-9.0, 9.0, 4.0], dtype=torch.float64), distances)
    assert below.tolist() == [0, 15, 15]
    assert share.tolist() == [0, 1, 1]


def test_the_mean_of_a_one_hot_distribution_is_its_bin():
    distances = weighting_function(6, reach=REACH, scale=SCALE)
    logits = torch.full((1, 4, 7), -1e9)
    logits[0, range(4), [0, 3, 5, 6]] = 0
    torch.testing.assert_close(expected_distances(logits, distances)[0], distances[[0, 3, 5, 6]].float())
