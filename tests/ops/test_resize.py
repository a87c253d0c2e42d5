"""Resizing: sizes as given, values by hand."""

import torch

from backbonekit.ops.resize import resize_bilinear, resize_nearest


def test_nearest_repeats_positions():
    maps = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert resize_nearest(maps, (2, 6)).tolist() == [[[[1, 1, 2, 2, 3, 3]] * 2]]
    assert resize_nearest(maps, (1, 2)).tolist() == [[[[1, 2]]]]


def test_bilinear_is_linear_between_centres_and_flat_outside():
    maps = torch.tensor([[[[0.0, 4.0]]]])
    assert resize_bilinear(maps, (1, 4)).tolist() == [[[[0.0, 1.0, 3.0, 4.0]]]]


def test_the_same_size_changes_nothing():
    maps = torch.randn(2, 3, 5, 7)
    for resize in (resize_nearest, resize_bilinear):
        assert torch.equal(resize(maps, (5, 7)), maps)
