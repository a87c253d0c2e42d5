"""Attention, feed-forward, decoder layer, MLP and sine positions: properties, and equality with torch."""

import math

import pytest
import torch
from torch import nn

from backbonekit.errors import ContractError
from backbonekit.layers.attention import MultiHeadAttention, keys_to_look_at
from backbonekit.layers.feedforward import MLP, FeedForward
from backbonekit.layers.sine_positions import SinePositions
from backbonekit.layers.transformer_decoder_layer import TransformerDecoderLayer
from tests.fixed_weights import randomise_weights


def copy_into(reference: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        reference.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        reference.out_proj.load_state_dict(ours.output.state_dict())


@pytest.mark.parametrize("is_masked", [False, True])
def test_attention_equals_that_of_torch(is_masked):
    ours = randomise_weights(MultiHeadAttention(12, num_heads=3)).double().eval()
    reference = nn.MultiheadAttention(12, 3, batch_first=True).double().eval()
    copy_into(reference, ours)
    queries, keys, values = (
        torch.randn(2, 4, 12).double(),
        torch.randn(2, 7, 12).double(),
        torch.randn(2, 7, 12).double(),
    )
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 3:] = False
    expected = reference(queries, keys, values, key_padding_mask=~mask if is_masked else None)[0]
    actual = ours(queries, keys, values, mask[:, None, None] if is_masked else None)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_decoder_layer_equals_that_of_torch_without_positions():
    ours = randomise_weights(TransformerDecoderLayer(12, num_heads=3, feedforward_channels=20)).double().eval()
    reference = nn.TransformerDecoderLayer(12, 3, 20, batch_first=True).double().eval()
    copy_into(reference.self_attn, ours.self_attention)
    copy_into(reference.multihead_attn, ours.cross_attention)
    for theirs, name in (
        (reference.norm1, "self_attention_norm"),
        (reference.norm2, "cross_attention_norm"),
        (reference.norm3, "feedforward_norm"),
        (reference.linear1, "feedforward.widen"),
        (reference.linear2, "feedforward.narrow"),
    ):
        theirs.load_state_dict(ours.get_submodule(name).state_dict())
    queries, memory = torch.randn(2, 4, 12).double(), torch.randn(2, 7, 12).double()
    no_positions = torch.zeros(1, 1, 12).double()
    actual = ours(queries, memory, query_positions=no_positions, memory_positions=no_positions)
    torch.testing.assert_close(actual, reference(queries, memory), rtol=1e-10, atol=1e-12)


def test_the_decoder_layer_can_attend_to_the_image_first():
    """The expected result is computed with the layer's own modules in the other order."""
    layer = randomise_weights(
        TransformerDecoderLayer(12, num_heads=3, feedforward_channels=20, cross_first=True)
    ).eval()
    queries, memory = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    positions, memory_positions = torch.randn(1, 4, 12), torch.randn(1, 7, 12)
    cross_attended = layer.cross_attention(queries + positions, memory + memory_positions, memory)
    after_cross = layer.cross_attention_norm(queries + cross_attended)
    with_positions = after_cross + positions
    after_self = layer.self_attention_norm(
        after_cross + layer.self_attention(with_positions, with_positions, after_cross)
    )
    expected = layer.feedforward_norm(after_self + layer.feedforward(after_self))
    actual = layer(queries, memory, query_positions=positions, memory_positions=memory_positions)
    torch.testing.assert_close(actual, expected)
    layer.cross_first = False
    other = layer(queries, memory, query_positions=positions, memory_positions=memory_positions)
    assert not torch.allclose(other, expected)


def test_every_dropout_of_a_decoder_layer_is_active_in_training_only():
    queries, memory = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    no_positions = torch.zeros(1, 1, 12)
    for name in ("dropout", "attention_dropout", "activation_dropout"):
        layer = TransformerDecoderLayer(12, num_heads=3, feedforward_channels=20, **{name: 0.5})
        once, again = (
            layer(queries, memory, query_positions=no_positions, memory_positions=no_positions) for _ in range(2)
        )
        assert not torch.equal(once, again), name
        layer.eval()
        once, again = (
            layer(queries, memory, query_positions=no_positions, memory_positions=no_positions) for _ in range(2)
        )
        assert torch.equal(once, again), name


def test_a_number_of_heads_that_does_not_divide_is_refused_with_those_that_do():
    with pytest.raises(ContractError, match=r"num_heads=5 does not divide channels=12; heads that do: 1, 2, 4\."):
        MultiHeadAttention(12, num_heads=5)


def test_an_image_that_is_all_padding_attends_to_every_position():
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[0, :2, :2] = True
    keys = keys_to_look_at(mask)
    assert keys.shape == (2, 1, 1, 12)
    assert keys[0].sum() == 4
    assert keys[1].all()
    assert keys_to_look_at(None) is None


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_feedforward_widens_activates_narrows(activation):
    layer = randomise_weights(FeedForward(6, hidden_channels=9, activation=activation)).eval()
    tokens = torch.randn(2, 3, 6)
    expected = layer.narrow(getattr(nn.functional, activation)(layer.widen(tokens)))
    torch.testing.assert_close(layer(tokens), expected)


def test_mlp_has_no_activation_after_its_last_layer():
    mlp = randomise_weights(MLP(5, hidden_channels=7, out_channels=3, num_layers=3))
    first, second, third = mlp.layers
    tokens = torch.randn(4, 2, 5)
    torch.testing.assert_close(mlp(tokens), third(second(first(tokens).relu()).relu()))
    assert [layer.out_features for layer in MLP(5, hidden_channels=7, out_channels=3, num_layers=1).layers] == [3]


def test_positions_run_from_the_first_pixel_to_two_pi():
    positions = SinePositions(8)(torch.zeros(3, 1, 4, 5, dtype=torch.float64))
    assert positions.shape == (1, 8, 4, 5)
    row, column = 2, 3
    y, x = (row + 1) / (4 + 1e-6) * 2 * math.pi, (column + 1) / (5 + 1e-6) * 2 * math.pi
    slow = 10_000 ** (2 / 4)
    expected = [f(angle / divisor) for angle in (y, x) for divisor in (1, slow) for f in (math.sin, math.cos)]
    torch.testing.assert_close(positions[0, :, row, column], torch.tensor(expected, dtype=torch.float64))


def test_positions_of_a_padded_image_are_those_of_the_image():
    mask = torch.ones(2, 6, 8, dtype=torch.bool)
    mask[1, 4:], mask[1, :, 5:] = False, False
    layer = SinePositions(12)
    together, small = layer(torch.zeros(2, 1, 6, 8), mask), layer(torch.zeros(1, 1, 4, 5))
    torch.testing.assert_close(together[1, :, :4, :5], small[0])
    torch.testing.assert_close(together[:1], layer(torch.zeros(1, 1, 6, 8)))


def test_positions_of_half_precision_maps_are_counted_in_single():
    wide = SinePositions(8)(torch.zeros(1, 1, 2, 700))
    half = SinePositions(8)(torch.zeros(1, 1, 2, 700, dtype=torch.bfloat16))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, wide.bfloat16())


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(ContractError, match=r"channels=7.*the next is 8"):
        SinePositions(7)
