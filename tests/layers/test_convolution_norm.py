"""A convolution and its norm: sizes and biases."""

import pytest
import torch

from backbonekit.layers.convolution_norm import ConvolutionNorm


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
