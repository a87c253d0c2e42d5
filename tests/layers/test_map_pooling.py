"""Pooling without padding."""

import torch

from backbonekit.layers.map_pooling import AttentionPooling, masked_average
from tests.fixed_weights import randomise_weights


def test_average_by_hand():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, float("nan")]]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    assert masked_average(maps, mask).tolist() == [[2.0]]


def test_average_without_a_mask_is_the_mean():
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(masked_average(maps, None), maps.mean((2, 3)))
    torch.testing.assert_close(masked_average(maps, torch.ones(2, 4, 5, dtype=torch.bool)), maps.mean((2, 3)))


def test_average_of_nothing_is_zero():
    assert masked_average(torch.ones(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool)).tolist() == [[0.0, 0.0]]


def test_attention_does_not_look_at_padding():
    pool = randomise_weights(AttentionPooling(8, num_heads=2)).eval()
    maps = torch.randn(2, 8, 3, 4)
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[1, :, 2:] = False
    changed = maps.masked_fill(~mask[:, None], 100.0)
    torch.testing.assert_close(pool(changed, mask), pool(maps, mask))
    torch.testing.assert_close(pool(maps, mask)[1:], pool(maps[1:, :, :, :2], None))
    assert not torch.allclose(pool(maps, mask)[1], pool(maps, None)[1])
