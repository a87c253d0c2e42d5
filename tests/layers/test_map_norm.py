"""Norms of maps by name."""

import pytest
import torch
from torch import nn

from backbonekit.layers.map_norm import map_norm
from tests.fixed_weights import randomise_weights


@pytest.mark.parametrize(
    ("kind", "over"),
    [("batch", (0, 2, 3)), ("layer", (1,))],
)
def test_normalises_over_its_axes(kind, over):
    maps = torch.randn(3, 8, 5, 7) * 4 + 2
    normed = map_norm(kind, 8).train()(maps)
    torch.testing.assert_close(normed.mean(over), torch.zeros_like(normed.mean(over)), atol=1e-4, rtol=0)
    torch.testing.assert_close(normed.var(over, correction=0), torch.ones_like(normed.mean(over)), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (48, 16), (7, 1), (32, 32)])
def test_group_norm_has_32_groups_or_what_divides(channels, groups):
    norm = map_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


def test_none_passes_the_map_on():
    maps = torch.randn(1, 4, 2, 2)
    assert map_norm("none", 4)(maps) is maps


@pytest.mark.parametrize("kind", ["batch", "group", "layer"])
def test_scale_and_shift_are_per_channel(kind):
    norm = randomise_weights(map_norm(kind, 8))
    assert {parameter.shape for parameter in norm.parameters()} == {torch.Size([8])}
