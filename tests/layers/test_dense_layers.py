"""Layers of semantic segmenters: separable convolution, dilated convolution, pooled context, classifier."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.layers.convolution_norm import ConvolutionNorm, SeparableConvolution
from backbonekit.layers.dense_classifier import DenseClassifier
from backbonekit.layers.pyramid_pooling import PooledContext
from tests.fixed_weights import randomise_weights


@pytest.mark.parametrize("dilation", [1, 3])
def test_separable_convolution_is_the_full_one_whose_kernel_is_an_outer_product(dilation):
    layer = randomise_weights(SeparableConvolution(4, 6, dilation=dilation))
    maps = torch.randn(2, 4, 9, 11)
    kernel = layer.pointwise.weight * layer.depthwise.weight.transpose(0, 1)
    expected = functional.conv2d(maps, kernel, layer.pointwise.bias, padding=dilation, dilation=dilation)
    torch.testing.assert_close(layer(maps), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dilation", [2, 5])
def test_dilated_convolution_keeps_the_size(dilation):
    layer = randomise_weights(ConvolutionNorm(3, 4, kernel_size=3, dilation=dilation))
    maps = torch.randn(1, 3, 7, 9)
    expected = functional.conv2d(
        maps, layer.convolution.weight, layer.convolution.bias, padding=dilation, dilation=dilation
    )
    assert expected.shape[-2:] == (7, 9)
    torch.testing.assert_close(layer(maps), expected)


def test_a_single_value_per_channel_is_normalised_with_the_running_statistics():
    layer = randomise_weights(PooledContext(3, 8, side=1)).train()
    maps = torch.randn(1, 3, 4, 5)
    before = {name: tensor.clone() for name, tensor in layer.named_buffers()}
    out = layer(maps, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.named_buffers())
    torch.testing.assert_close(out, layer.eval()(maps, None))


def test_two_values_per_channel_are_normalised_with_batch_statistics():
    layer = randomise_weights(PooledContext(3, 8, side=1)).train()
    maps = torch.randn(2, 3, 4, 5)
    norm = layer.projection.norm
    pooled = layer.projection.convolution(maps.mean((2, 3), keepdim=True))
    expected = functional.batch_norm(pooled, None, None, norm.weight, norm.bias, training=True).relu()
    before = norm.running_mean.clone()
    torch.testing.assert_close(layer(maps, None), expected.expand(2, 8, 4, 5), rtol=1e-4, atol=1e-4)
    assert not torch.equal(norm.running_mean, before)


def test_hidden_width_of_a_classifier_is_a_quarter_when_not_given():
    assert DenseClassifier(64, None, 3, 0.0).convolution.out_channels == 16
    assert DenseClassifier(3, None, 3, 0.0).convolution.out_channels == 1
