"""Deformable attention: equal to the three implementations in transformers, and its own properties."""

import pytest
import torch
from torch import nn

from backbonekit.layers.deformable_attention import DeformableAttention
from tests.fixed_weights import randomise_weights

SHAPES = [(5, 7), (3, 4), (2, 2)]
NUM_POSITIONS = sum(height * columns for height, columns in SHAPES)


def with_weights_of(theirs, **options):
    """Our module with the weights of theirs."""
    ours = DeformableAttention(32, num_heads=4, **options).double()
    names = {"sampling_offsets": "offsets", "attention_weights": "weights"}
    names |= {"value_proj": "value", "output_proj": "output"}
    weights = {key: tensor for key, tensor in theirs.state_dict().items() if "points_scale" not in key}
    ours.load_state_dict({names[key.split(".")[0]] + "." + key.split(".")[1]: value for key, value in weights.items()})
    return ours


def inputs(coordinates, levels):
    memory_mask = torch.ones(2, NUM_POSITIONS, dtype=torch.bool)
    memory_mask[1, 3:9] = False
    return (
        torch.randn(2, 6, 32, dtype=torch.float64),
        torch.rand(2, 6, levels, coordinates, dtype=torch.float64) * 1.2 - 0.1,
        torch.randn(2, NUM_POSITIONS, 32, dtype=torch.float64),
        memory_mask,
    )


def output_of(theirs, queries, references, memory, mask):
    return theirs(
        hidden_states=queries,
        encoder_hidden_states=memory,
        attention_mask=mask,
        reference_points=references,
        spatial_shapes=torch.tensor(SHAPES),
        spatial_shapes_list=SHAPES,
        level_start_index=None,
    )[0]


@pytest.mark.parity
@pytest.mark.parametrize("coordinates", [2, 4])
def test_equals_deformable_detr(coordinates):
    modeling = pytest.importorskip("transformers.models.deformable_detr.modeling_deformable_detr")
    config = modeling.DeformableDetrConfig(d_model=32, num_feature_levels=3)
    theirs = randomise_weights(modeling.DeformableDetrMultiscaleDeformableAttention(config, 4, 5)).double()
    queries, references, memory, mask = inputs(coordinates, levels=3)
    expected = output_of(theirs, queries, references, memory, mask)
    actual = with_weights_of(theirs, num_points=(5, 5, 5))(queries, references, memory, SHAPES, mask)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parity
@pytest.mark.parametrize("method", ["default", "discrete"])
def test_equals_rt_detr_v2(method):
    modeling = pytest.importorskip("transformers.models.rt_detr_v2.modeling_rt_detr_v2")
    config = modeling.RTDetrV2Config(
        d_model=32, decoder_attention_heads=4, decoder_n_points=5, decoder_method=method, decoder_offset_scale=0.3
    )
    theirs = randomise_weights(modeling.RTDetrV2MultiscaleDeformableAttention(config)).double()
    theirs.n_points_scale.fill_(1 / 5)
    queries, references, memory, mask = inputs(4, levels=1)
    expected = output_of(theirs, queries, references, memory, mask)
    sampling = {"default": "bilinear", "discrete": "nearest"}[method]
    ours = with_weights_of(theirs, num_points=(5, 5, 5), offset_scale=0.3, sampling=sampling)
    torch.testing.assert_close(ours(queries, references, memory, SHAPES, mask), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parity
def test_equals_d_fine():
    """Another number of points on each level, and no projections."""
    modeling = pytest.importorskip("transformers.models.d_fine.modeling_d_fine")
    config = modeling.DFineConfig(d_model=32, decoder_attention_heads=4, decoder_n_points=[3, 6, 2])
    theirs = randomise_weights(modeling.DFineMultiscaleDeformableAttention(config)).double()
    theirs.num_points_scale.copy_(torch.tensor([1 / count for count in (3, 6, 2) for _ in range(count)]))
    queries, references, memory, _ = inputs(4, levels=1)
    # their mask does not fit their values: this attention is never called with one
    expected = output_of(theirs, queries, references, memory, None)
    ours = with_weights_of(theirs, num_points=(3, 6, 2), project=False)
    # they keep 1 / points in float32
    torch.testing.assert_close(ours(queries, references, memory, SHAPES), expected, rtol=1e-6, atol=1e-6)


def test_masked_positions_are_not_read():
    attention = randomise_weights(DeformableAttention(32, num_heads=4, num_points=(4, 4, 4))).double()
    queries, references, memory, mask = inputs(2, levels=3)
    other = memory.clone()
    other[~mask] = 1e3
    expected = attention(queries, references, memory, SHAPES, mask)
    assert torch.equal(attention(queries, references, other, SHAPES, mask), expected)
    assert not torch.allclose(attention(queries, references, other, SHAPES), expected)


def test_initial_offsets_form_a_ring_around_the_reference():
    attention = DeformableAttention(32, num_heads=4, num_points=(2,))
    bias = attention.offsets.bias.detach().view(4, 2, 2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    torch.testing.assert_close(bias[:, 0], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(bias[:, 1], 2 * expected, rtol=0, atol=1e-6)


def test_a_module_that_replaces_the_value_projection_is_used():
    """Adapters replace it."""

    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, memory):
            return 2 * self.inner(memory)

    torch.manual_seed(0)
    attention = DeformableAttention(8, num_heads=2, num_points=(2,))
    nn.init.zeros_(attention.output.bias)
    inputs_of_attention = torch.randn(1, 3, 8), torch.rand(1, 3, 1, 2), torch.randn(1, 20, 8), [(4, 5)]
    expected = 2 * attention(*inputs_of_attention)
    attention.value = Doubled(attention.value)
    torch.testing.assert_close(attention(*inputs_of_attention), expected)
