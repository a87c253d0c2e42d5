"""Points: sampling equals grid_sample, and points are drawn where a map is uncertain."""

import pytest
import torch

from backbonekit.ops.point_sampling import bilinear_neighbours, sample_maps, sample_nearest, uncertain_points


def points(rows, count, seed=0):
    """Some of them at the very edges."""
    drawn = torch.rand(rows, count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn[:, 0], drawn[:, 1] = 0.0, 1.0
    return drawn


def test_positions_have_their_own_values_at_their_centres():
    maps = torch.randn(2, 3, 4, 5)
    y, x = torch.meshgrid((torch.arange(4) + 0.5) / 4, (torch.arange(5) + 0.5) / 5, indexing="ij")
    centres = torch.stack((x, y), dim=-1).flatten(0, 1).expand(2, -1, -1)
    torch.testing.assert_close(sample_maps(maps, centres), maps.flatten(2))


@pytest.mark.parametrize("size", [(7, 5), (1, 1), (1, 9)])
def test_neighbours_have_the_weights_of_sampling(size):
    maps, where = torch.randn(3, 1, *size, dtype=torch.float64), points(3, 40)
    around = list(bilinear_neighbours(where, size))
    assert len(around) == 4
    gathered = sum(maps.flatten(1).gather(1, index) * weights for index, weights in around)
    torch.testing.assert_close(gathered, sample_maps(maps, where)[:, 0])
    assert sum(weights for _, weights in around).max() <= 1 + 1e-12


def test_nearest_is_the_position_that_a_point_falls_into():
    masks = torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[0, 3, 5] = masks[1, 0, 0] = True
    where = torch.tensor([[[0.99, 0.99], [1.0, 1.0], [0.0, 0.0], [0.8, 0.99]]])
    assert sample_nearest(masks, torch.tensor([0]), where).tolist() == [[True, True, False, False]]
    assert sample_nearest(masks, torch.tensor([1]), where).tolist() == [[False, False, True, False]]


def test_points_are_found_where_a_map_is_uncertain():
    logits = torch.linspace(-8, 8, 64).expand(2, 64, -1).clone()  # uncertain in the middle, and a little at the border
    found = uncertain_points(logits, count=400, oversample=4.0, importance=0.75)
    assert found.shape == (2, 400, 2)
    far = (found[..., 0] - 0.5).abs()
    # 300 of 1600 lie in the middle 300/1600 of the width, the last 100 anywhere.
    assert (far[:, :300] < 0.13).float().mean() > 0.9
    assert (far[:, 300:] > 0.25).float().mean() == pytest.approx(0.5, abs=0.2)
    everywhere = uncertain_points(logits, count=400, oversample=4.0, importance=0.0)
    assert ((everywhere[..., 0] - 0.5).abs() > 0.25).float().mean() == pytest.approx(0.5, abs=0.1)


def test_points_are_within_the_extents_and_invalid_ones_are_not_kept():
    logits = torch.zeros(2, 8, 8)
    extents = torch.tensor([[1.0, 0.5], [0.25, 1.0]])
    found = uncertain_points(
        logits,
        count=50,
        oversample=4.0,
        importance=1.0,
        extents=extents,
        is_valid=lambda drawn: drawn[..., 1] > 0.1,
    )
    assert (found <= extents[:, None]).all()
    assert (found[..., 1] > 0.1).all()
    assert found[1, :, 1].max() > 0.9
