"""PyramidPoolingNeck: the neck's contract, averages without padding."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.ppm import PyramidPoolingNeck
from tests.necks.neck_tester import NeckTester


class TestPPM(NeckTester):
    part = PyramidPoolingNeck
    options = {"channels": 32}
    golden = (0.000000, 0.432892, 0.168545, 1.097553)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 24, 16),))


class TestPPMBesideFineLevels(NeckTester):
    part = PyramidPoolingNeck
    options = {"channels": 16}
    golden = (-0.962481, 0.679013, -0.195563, 0.809470)


class TestPPMWithGroupNorm(NeckTester):
    part = PyramidPoolingNeck
    options = {"channels": 128, "scales": (1, 4), "norm": "group"}
    golden = (0.000000, 0.362814, 0.000000, 0.090354)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 24, 16),))


class TestPPMOnTokens(NeckTester):
    """A transformer's levels; the class token of the deepest belonged to the map that was replaced."""

    part = PyramidPoolingNeck
    options = {"channels": 16}
    golden = (0.167175, -0.233923, -0.266908, 0.484939)

    def pyramid(self):
        return FeaturePyramid((Level("a", 12, 16, prefix_tokens=1), Level("b", 12, 16, prefix_tokens=1)))


def test_requires_what_its_consumer_requires():
    assert PyramidPoolingNeck.needs(None) == Requirement(last=1)
    assert PyramidPoolingNeck.needs(Requirement(strides=(8, 32))) == Requirement(strides=(8, 32))
    assert PyramidPoolingNeck.needs(Requirement(extras=("memory",))) == Requirement(last=1, extras=("memory",))


def test_refuses_no_level():
    with pytest.raises(ContractError, match="receives no level"):
        PyramidPoolingNeck(FeaturePyramid(()))


def test_trains_on_one_image():
    """The branch of a single cell has one value a channel, of which a batch norm computes no variance."""
    neck = TestPPM().build().train()
    before = {name: tensor.clone() for name, tensor in neck.named_buffers()}
    out = neck(TestPPM().maps((64, 96), batch=1), Canvas((64, 96)))
    out.maps[-1].square().sum().backward()
    assert all(parameter.grad.any() for parameter in neck.parameters())
    moved = {name for name, tensor in neck.named_buffers() if not torch.equal(tensor, before[name])}
    assert not [name for name in moved if name.startswith("pooling.pooled.0.")]
    assert [name for name in moved if name.startswith("pooling.pooled.1.")]


def test_means_are_those_of_the_image_without_its_padding():
    neck = TestPPM().build()
    pyramid = TestPPM().pyramid()
    deepest = torch.randn(1, pyramid.channels[-1], 9, 13)
    padded = torch.full((1, pyramid.channels[-1], 12, 16), float("nan"))
    padded[..., :9, :13] = deepest
    mask = torch.zeros(1, 12, 16, dtype=torch.bool)
    mask[:, :9, :13] = True
    for branch in neck.pooling.pooled:
        given, expected = branch(padded, mask), branch(deepest, None)
        torch.testing.assert_close(given[..., :9, :13], expected, rtol=1e-5, atol=1e-5)
        assert given.isfinite().all()


def test_fine_levels_pass_through_untouched():
    maps = TestPPMBesideFineLevels().maps((64, 64))
    out = TestPPMBesideFineLevels().build()(maps, Canvas((64, 64)))
    assert all(one is other for one, other in zip(out.maps[:-1], maps.maps[:-1], strict=True))
    assert isinstance(out, FeatureMaps)
