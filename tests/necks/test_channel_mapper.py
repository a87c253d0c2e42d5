"""ChannelMapper: the neck's contract and equality with Deformable DETR's input projections."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.necks.channel_mapper import ChannelMapper
from tests.fixed_weights import randomise_weights
from tests.necks.neck_tester import NeckTester


class TestChannelMapper(NeckTester):
    part = ChannelMapper
    options = {"channels": 16}
    golden = (1.036807, -1.325104, 1.055423, 1.315768)


class TestChannelMapperWithExtraLevels(NeckTester):
    part = ChannelMapper
    options = {"channels": 12, "norm": "batch", "num_extra_levels": 2}
    golden = (-0.068049, -0.581945, 0.797756, 1.300314)


def test_requires_only_what_it_uses():
    assert ChannelMapper.needs(Requirement(strides=(8, 16, 32, 64)), num_extra_levels=1) == Requirement(
        strides=(8, 16, 32)
    )


@pytest.mark.parity
@pytest.mark.parametrize("size", [(64, 64), (70, 101)])
def test_equals_the_input_projections_of_deformable_detr(size):
    transformers = pytest.importorskip("transformers")
    config = transformers.DeformableDetrConfig(
        backbone_config=transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], out_indices=[2, 3, 4]
        ),
        use_timm_backbone=False,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=3,
        num_feature_levels=5,
    )
    reference = randomise_weights(transformers.DeformableDetrModel(config)).eval()
    projections = reference.input_proj
    received: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    for projection in projections:
        projection[0].register_forward_hook(lambda _, inputs, __: received.append(inputs[0]))
        projection.register_forward_hook(lambda _, __, output: given.append(output))
    with torch.no_grad():
        reference(torch.randn(2, 3, *size), pixel_mask=torch.ones(2, *size, dtype=torch.long))

    pyramid = FeaturePyramid((Level("c3", 16, 8), Level("c4", 32, 16), Level("c5", 64, 32)))
    neck = ChannelMapper(pyramid, channels=32, num_extra_levels=2).eval()
    theirs = projections.state_dict()
    neck.load_state_dict(dict(zip(neck.state_dict(), theirs.values(), strict=True)))
    with torch.no_grad():
        out = neck(FeatureMaps(tuple(received[:3])), Canvas(size)).maps
    assert len(out) == len(given) == 5
    for one, other in zip(out, given, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
