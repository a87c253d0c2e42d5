"""The deformable encoder against transformers' Deformable DETR layer, and its level embeddings."""

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.errors import ContractError
from backbonekit.layers.deformable_encoder import DeformableEncoder, DeformableEncoderLayer
from backbonekit.ops.levels import flatten_levels, reference_points
from tests.fixed_weights import randomise_weights

SHAPES = ((2, 3), (4, 6), (8, 11))


def maps(batch=2, channels=16):
    return [torch.randn(batch, channels, *shape) for shape in SHAPES]


@pytest.mark.parity
def test_a_layer_equals_that_of_deformable_detr():
    transformers = pytest.importorskip("transformers")
    module = transformers.models.deformable_detr.modeling_deformable_detr
    config = transformers.DeformableDetrConfig(
        d_model=16,
        encoder_attention_heads=4,
        encoder_ffn_dim=24,
        encoder_n_points=3,
        num_feature_levels=3,
        use_timm_backbone=False,
        backbone_config=transformers.ResNetConfig(),
    )
    config._attn_implementation = "eager"
    theirs = randomise_weights(module.DeformableDetrEncoderLayer(config)).double().eval()
    ours = DeformableEncoderLayer(16, num_levels=3, num_heads=4, num_points=3, feedforward_channels=24).double().eval()
    names = (
        ("self_attn.sampling_offsets", "self_attention.offsets"),
        ("self_attn.attention_weights", "self_attention.weights"),
        ("self_attn.value_proj", "self_attention.value"),
        ("self_attn.output_proj", "self_attention.output"),
        ("self_attn_layer_norm", "self_attention_norm"),
        ("mlp.fc1", "feedforward.widen"),
        ("mlp.fc2", "feedforward.narrow"),
        ("fc1", "feedforward.widen"),
        ("fc2", "feedforward.narrow"),
        ("final_layer_norm", "feedforward_norm"),
    )
    state = theirs.state_dict()
    for foreign, own in names:
        state = {
            f"{own}{name.removeprefix(foreign)}" if name.startswith(f"{foreign}.") else name: tensor
            for name, tensor in state.items()
        }
    ours.load_state_dict(state)
    tokens, shapes = flatten_levels([one.double() for one in maps()])
    positions = torch.randn_like(tokens)
    references = reference_points(shapes, like=tokens)
    mask = torch.rand(2, tokens.shape[1]) > 0.2
    starts = torch.tensor([0, 6, 30])
    expected = theirs(
        tokens,
        attention_mask=mask,
        spatial_position_embeddings=positions,
        reference_points=references.expand(2, -1, -1, -1),
        spatial_shapes=torch.tensor(shapes),
        spatial_shapes_list=shapes,
        level_start_index=starts,
    )
    expected = expected[0] if isinstance(expected, tuple) else expected
    actual = ours(tokens, positions=positions, references=references, shapes=shapes, mask=mask)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_returns_maps_of_the_same_shapes_and_depends_on_the_level_embedding():
    encoder = randomise_weights(
        DeformableEncoder(16, num_levels=3, num_layers=1, num_heads=4, feedforward_channels=24)
    ).eval()
    given, canvas = maps(), Canvas((256, 352))
    before = encoder(given, canvas)
    assert [one.shape for one in before] == [one.shape for one in given]
    torch.nn.init.zeros_(encoder.level_embedding)
    assert not torch.allclose(before[0], encoder(given, canvas)[0])


def test_without_layers_maps_pass_through():
    given = maps()
    encoder = DeformableEncoder(16, num_levels=3, num_layers=0)
    assert all(torch.equal(one, other) for one, other in zip(encoder(given, Canvas((64, 88))), given, strict=True))


def test_refuses_a_number_of_heads_that_does_not_divide_the_channels():
    with pytest.raises(ContractError, match="num_heads=5 does not divide channels=16"):
        DeformableEncoder(16, num_levels=3, num_heads=5)
