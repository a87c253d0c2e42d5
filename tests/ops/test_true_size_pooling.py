"""Pooling to a grid over each image's own part of a canvas: torch's own without padding, the same with it."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.ops.true_size_pooling import pool_to_grid, spread_from_grid

SIZES = [(9, 13), (1, 1), (2, 7), (12, 16)]


def padded(size, canvas=(12, 16), fill=float("inf")):
    """A map of this size, the same in the corner of a canvas, and the mask of the canvas."""
    own = torch.randn(1, 3, *size, dtype=torch.float64)
    maps = torch.full((1, 3, *canvas), fill, dtype=torch.float64)
    maps[..., : size[0], : size[1]] = own
    mask = torch.zeros(1, *canvas, dtype=torch.bool)
    mask[:, : size[0], : size[1]] = True
    return own, maps, mask


@pytest.mark.parametrize("side", [1, 2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_means_are_torchs_on_the_image_alone(size, side):
    own, maps, mask = padded(size)
    expected = functional.adaptive_avg_pool2d(own, side)
    torch.testing.assert_close(pool_to_grid(maps, side, mask), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(pool_to_grid(own, side, None), expected)


@pytest.mark.parametrize("side", [1, 2, 3, 6])
@pytest.mark.parametrize("size", SIZES)
def test_the_way_back_is_torchs_on_the_image_alone(size, side):
    _, _, mask = padded(size)
    grid = torch.randn(1, 3, side, side, dtype=torch.float64)
    expected = functional.interpolate(grid, size, mode="bilinear", align_corners=False)
    given = spread_from_grid(grid, (12, 16), mask)
    assert given.shape == (1, 3, 12, 16)
    torch.testing.assert_close(given[..., : size[0], : size[1]], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(spread_from_grid(grid, size, None), expected)


def test_each_image_of_a_batch_has_its_own_grid():
    images = [padded(size) for size in SIZES]
    maps, masks = (torch.cat([image[index] for image in images]) for index in (1, 2))
    together = pool_to_grid(maps, 3, masks)
    for index, (own, _, _) in enumerate(images):
        torch.testing.assert_close(together[index : index + 1], functional.adaptive_avg_pool2d(own, 3))


def test_an_image_of_padding_alone_returns_zeros():
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    assert not pool_to_grid(torch.ones(1, 2, 4, 5), 2, mask).any()
    assert spread_from_grid(torch.ones(1, 2, 2, 2), (4, 5), mask).isfinite().all()
