"""DeformablePixelDecoder: the neck's contract, which levels it encodes and folds, padding."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.deformable_pixel_decoder import DeformablePixelDecoder
from tests.necks.neck_tester import NeckTester


class TestDeformablePixelDecoder(NeckTester):
    part = DeformablePixelDecoder
    options = {
        "channels": 32,
        "mask_channels": 7,
        "num_layers": 2,
        "num_heads": 4,
        "num_points": 2,
        "feedforward_channels": 24,
    }
    golden = (-0.247224, -1.000987, -0.068384, 0.328609)

    def test_publishes_the_encoded_levels_and_mask_features_as_fine_as_the_finest(self):
        neck, maps = self.build(), self.maps((33, 47))
        out = neck(maps, Canvas((33, 47)))
        assert [tuple(one.shape) for one in out.maps] == [(2, 32, 5, 6), (2, 32, 3, 3), (2, 32, 2, 2)]
        assert out.extras["mask_features"].shape == (2, 7, 9, 12)
        assert neck.features.strides == (8, 16, 32)
        assert neck.features.extras["mask_features"] == Level("mask_features", 7, 4)


class TestDeformablePixelDecoderOverTwo(TestDeformablePixelDecoder):
    """Two levels encoded, mask features at the finer one's stride: nothing is folded."""

    options = {**TestDeformablePixelDecoder.options, "num_encoded_levels": 2, "mask_stride": 16}
    golden = (0.133793, 0.138321, -0.438712, 0.118891)

    def test_publishes_the_encoded_levels_and_mask_features_as_fine_as_the_finest(self):
        neck, maps = self.build(), self.maps((33, 47))
        out = neck(maps, Canvas((33, 47)))
        assert [tuple(one.shape[-2:]) for one in out.maps] == [(3, 3), (2, 2)]
        assert out.extras["mask_features"].shape == (2, 7, 3, 3)
        assert neck.features.extras["mask_features"].stride == 16


class TestDeformablePixelDecoderOverOneStride(TestDeformablePixelDecoder):
    """The blocks of a plain transformer as they are; their class tokens are not read."""

    options = {**TestDeformablePixelDecoder.options, "num_deepest_levels": 4}
    golden = (-0.476447, -0.458685, -1.180831, 1.129825)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"block{index}", 12, 16, prefix_tokens=1) for index in range(4)))

    def test_publishes_the_encoded_levels_and_mask_features_as_fine_as_the_finest(self):
        out = self.build()(self.maps((33, 47)), Canvas((33, 47)))
        assert [tuple(one.shape[-2:]) for one in out.maps] == [(3, 3)] * 3
        assert out.extras["mask_features"].shape == (2, 7, 3, 3)


def test_every_level_reaches_the_mask_features_and_every_coarse_one_each_level():
    tester = TestDeformablePixelDecoder()
    neck, maps = tester.build(), tester.maps((64, 64))
    before = neck(maps, Canvas((64, 64)))
    for index in range(4):
        changed = [one + torch.randn_like(one) if at == index else one for at, one in enumerate(maps.maps)]
        after = neck(FeatureMaps(tuple(changed)), Canvas((64, 64)))
        assert not torch.allclose(before.extras["mask_features"], after.extras["mask_features"]), index
        for one, other in zip(before.maps, after.maps, strict=True):
            assert torch.allclose(one, other) == (index == 0)  # the finest level is folded in behind the encoder


def padded(real, size=(128, 96)):
    """A canvas of two images, the second of which has `real` pixels."""
    mask = torch.ones(2, *size, dtype=torch.bool)
    mask[1] = False
    mask[1, : real[0], : real[1]] = True
    return Canvas(size, mask)


def test_the_encoder_reads_no_padding():
    """Noise in the padding of what enters the encoder does not change the result on real positions."""
    tester = TestDeformablePixelDecoder()
    encoder, canvas = tester.build().encoder, padded((64, 33))
    maps = [torch.randn(2, 32, *shape) for shape in ((4, 3), (8, 6), (16, 12))]
    changed = [one.clone() for one in maps]
    for one in changed:
        real = canvas.mask_at(one.shape[-2], one.shape[-1])[:, None]
        one.copy_(torch.where(real, one, torch.full_like(one, 30.0)))
    for one, other in zip(encoder(maps, canvas), encoder(changed, canvas), strict=True):
        real = canvas.mask_at(one.shape[-2], one.shape[-1])[:, None].expand_as(one)
        torch.testing.assert_close(one[real], other[real])
        assert not torch.allclose(one, other)


def test_a_padded_image_is_encoded_like_the_image_alone():
    tester = TestDeformablePixelDecoder()
    encoder = tester.build().encoder
    small = [torch.randn(1, 32, *shape) for shape in ((2, 1), (4, 2), (8, 4))]
    large = [torch.randn(2, 32, *shape) for shape in ((4, 3), (8, 6), (16, 12))]
    for one, other in zip(small, large, strict=True):
        other[1:, :, : one.shape[-2], : one.shape[-1]] = one
    together = encoder(large, padded((64, 32)))
    for one, other in zip(encoder(small, Canvas((64, 32))), together, strict=True):
        torch.testing.assert_close(other[1:, :, : one.shape[-2], : one.shape[-1]], one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("real", [(1, 1), (0, 0)])
def test_an_image_of_one_pixel_or_none_is_finite(real):
    tester = TestDeformablePixelDecoder()
    out = tester.build()(tester.maps((128, 96)), padded(real))
    assert all(one.isfinite().all() for one in (*out.maps, *out.extras.values()))


@pytest.mark.parametrize(
    ("wanted", "options", "required"),
    [
        (None, {}, Requirement(strides=(4, 8, 16, 32))),
        (Requirement(last=3, extras=("mask_features", "memory")), {}, Requirement((4, 8, 16, 32), extras=("memory",))),
        (None, {"mask_stride": 8}, Requirement(strides=(8, 16, 32))),
        (None, {"mask_stride": 2}, Requirement(strides=(2, 4, 8, 16, 32))),
        (None, {"num_encoded_levels": 1, "mask_stride": 32}, Requirement(strides=(32,))),
        (None, {"num_encoded_levels": 4}, Requirement(strides=(4, 8, 16, 32))),
        (None, {"num_deepest_levels": 5}, Requirement(last=5)),
    ],
)
def test_requires_every_octave_down_to_the_mask_features(wanted, options, required):
    assert DeformablePixelDecoder.needs(wanted, **options) == required


@pytest.mark.parametrize(
    ("strides", "options", "message"),
    [
        ((8, 16, 32), {}, r"receives strides 8, 16, 32, so 4 is missing\. The fix: .*num_deepest_levels=3"),
        ((4, 8, 16, 32), {"mask_stride": 16}, "finest level that is encoded has stride 8"),
        ((4, 8, 16, 32), {"mask_stride": 3}, "mask_stride=3"),
        ((4, 8, 16, 32), {"num_deepest_levels": 5}, "num_deepest_levels=5, and it receives 4 levels"),
        ((4, 8, 16, 32), {"num_deepest_levels": 2}, "encodes 3 levels, so it requires at least that many"),
        ((4, 8, 16, 32), {"channels": 100}, "channels=100 is no multiple of 32.*96 is the nearest"),
        ((4, 8, 16, 32), {"channels": 32, "num_heads": 5}, "num_heads=5 does not divide channels=32"),
    ],
)
def test_refuses_what_it_cannot_decode(strides, options, message):
    pyramid = FeaturePyramid(tuple(Level(f"l{index}", 8, stride) for index, stride in enumerate(strides)))
    with pytest.raises(ContractError, match=message):
        DeformablePixelDecoder(pyramid, **options)


def test_starts_as_the_paper_does():
    torch.manual_seed(0)
    neck = DeformablePixelDecoder(TestDeformablePixelDecoder().pyramid(), channels=64, num_layers=1)
    for projection in neck.projections:
        weight = projection.convolution.weight
        bound = (6 / (weight.shape[0] + weight.shape[1])) ** 0.5  # xavier uniform
        assert 0.9 * bound < weight.abs().max() <= bound
        assert not projection.convolution.bias.any()
    assert 0.8 < neck.encoder.level_embedding.std() < 1.2
    for convolution in (neck.laterals[0].convolution, neck.outputs[0].convolution, neck.mask_projection):
        bound = (3 / convolution.weight[0].numel()) ** 0.5  # he uniform, of a linear layer
        assert 0.9 * bound < convolution.weight.abs().max() <= bound
