"""A convolution and its norm: sizes and biases; norms of maps by name."""

import pytest
import torch
from torch import nn

from backbonekit.layers.convolution_norm import ConvolutionNorm, map_norm
from tests.fixed_weights import randomise_weights


@pytest.mark.parametrize(
    ("kernel_size", "stride", "size"), [(1, 1, (7, 9)), (3, 1, (7, 9)), (3, 2, (4, 5)), (5, 2, (4, 5))]
)
def test_stride_one_keeps_the_size_and_stride_two_halves_it_rounded_up(kernel_size, stride, size):
    layer = ConvolutionNorm(3, 4, kernel_size=kernel_size, stride=stride)
    assert layer(torch.randn(2, 3, 7, 9)).shape == (2, 4, *size)


@pytest.mark.parametrize(
    ("norm", "bias", "has_bias"),
    [("none", None, True), ("batch", None, False), ("group", True, True), ("none", False, False)],
)
def test_has_a_bias_where_no_norm_follows_or_bias_is_set(norm, bias, has_bias):
    layer = ConvolutionNorm(3, 4, kernel_size=1, norm=norm, bias=bias)
    assert (layer.convolution.bias is not None) == has_bias


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
