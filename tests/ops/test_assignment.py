"""The assignment: its laws, NaN and infinite costs, one transfer."""

from itertools import permutations

import numpy
import pytest
import torch

from backbonekit.ops.assignment import assign, to_host


@pytest.mark.parametrize(("queries", "targets"), [(5, 3), (3, 5), (4, 4), (1, 6), (6, 0)])
def test_as_many_pairs_as_the_smaller_side_has_each_side_at_most_once(queries, targets):
    costs = numpy.random.default_rng(0).normal(size=(2, 3, queries, targets))
    for layer in assign(costs, [numpy.arange(targets)] * 3):
        for query_index, target_index in layer:
            assert len(query_index) == len(target_index) == min(queries, targets)
            assert len(set(query_index)) == len(set(target_index)) == len(query_index)
            assert list(query_index) == sorted(query_index)


def test_no_other_assignment_costs_less():
    costs = numpy.random.default_rng(1).normal(size=(1, 1, 4, 4))
    (((queries, targets),),) = assign(costs, [numpy.arange(4)])
    best = min(sum(costs[0, 0, row, column] for row, column in enumerate(order)) for order in permutations(range(4)))
    assert costs[0, 0, queries, targets].sum() == pytest.approx(best)


def test_only_candidates_are_assigned():
    costs = numpy.zeros((1, 2, 4, 5))
    costs[..., 1] = -100  # the cheapest, but not a candidate
    first, second = assign(costs, [numpy.array([0, 3]), numpy.array([], dtype=int)])[0]
    assert sorted(first[1]) == [0, 3]
    assert len(second[0]) == len(second[1]) == 0


def test_nan_and_infinite_costs_are_taken_last():
    costs = numpy.array([[[[numpy.nan, 5.0], [3.0, numpy.inf], [-numpy.inf, numpy.nan]]]])
    (((queries, targets),),) = assign(costs, [numpy.arange(2)])
    assert list(zip(queries, targets, strict=True)) == [(0, 1), (1, 0)]


def test_tensors_travel_together_and_keep_their_shapes(monkeypatch):
    transfers = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(tensor.numel()) or cpu(tensor))
    costs, flags, nothing = torch.randn(2, 3, 4), torch.tensor([True, False]), torch.zeros(5, 0)
    there = to_host(costs, flags, nothing)
    assert transfers == [26]
    assert [array.shape for array in there] == [(2, 3, 4), (2,), (5, 0)]
    assert numpy.array_equal(there[0], costs.numpy())
    assert there[1].tolist() == [1, 0]
