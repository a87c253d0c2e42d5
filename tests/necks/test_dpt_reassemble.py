"""DPTReassemble: the neck's contract over transformers and pyramids, how the class token is used, refusals."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError, RecipeError
from backbonekit.necks.dpt_reassemble import DPTReassemble
from tests.necks.neck_tester import NeckTester

PLAIN = FeaturePyramid(tuple(Level(f"stage{index}", 12, 14, prefix_tokens=2) for index in (3, 6, 9, 12)))


class TestOfAPyramid(NeckTester):
    part = DPTReassemble
    options = {"channels": 16, "level_channels": (6, 8, 10, 12)}
    golden = (0.495542, -0.177257, 0.525478, 0.151144)

    def test_levels_keep_their_strides(self):
        neck = self.build()
        assert neck.features.strides == (4, 8, 16, 32)
        given, received = neck(self.maps((64, 96)), Canvas((64, 96))).maps, self.maps((64, 96)).maps
        assert [one.shape[-2:] for one in given] == [one.shape[-2:] for one in received]


class TestOfAnUnprojectedPyramid(NeckTester):
    part = DPTReassemble
    options = {"channels": 16, "level_channels": None}
    golden = (0.487113, -0.085030, 0.611866, -0.023859)


class TestOfATransformer(NeckTester):
    part = DPTReassemble
    options = {"channels": 16, "level_channels": (6, 8, 10, 12), "readout": "project"}
    golden = (0.009995, 0.022369, -0.022978, 0.002000)

    def pyramid(self):
        return PLAIN

    def test_strides_are_octaves_of_the_patch(self):
        neck = self.build()
        assert neck.features.strides == (3.5, 7, 14, 28)
        assert neck.features.names == ("p2", "p3", "p4", "p5")
        maps = neck(self.maps((70, 98)), Canvas((70, 98))).maps
        assert [tuple(one.shape[-2:]) for one in maps] == [(20, 28), (10, 14), (5, 7), (3, 4)]


class TestThatAddsTheToken(TestOfATransformer):
    options = {"channels": 16, "level_channels": (6, 8, 10, 12), "readout": "add"}
    golden = (-0.077693, -0.213793, -0.011294, -0.118916)


@pytest.mark.parametrize("readout", ["ignore", "add", "project"])
def test_the_class_token_is_read_and_registers_never(readout):
    tester = TestOfATransformer()
    neck, maps = tester.build(readout=readout), tester.maps((56, 56))
    before = neck(maps, Canvas((56, 56))).maps
    for index in (0, 1):
        tokens = tuple(tensor.clone() for tensor in maps.prefix_tokens)
        for tensor in tokens:
            tensor[:, index] += 1
        after = neck(FeatureMaps(maps.maps, prefix_tokens=tokens), Canvas((56, 56))).maps
        same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
        assert same == [index == 1 or readout == "ignore"] * 4


def test_add_adds_the_token_to_every_position():
    tester = TestOfATransformer()
    neck, maps = tester.build(readout="add"), tester.maps((56, 56))
    ignoring = tester.build(readout="ignore")
    added = [level + tokens[:, 0, :, None, None] for level, tokens in zip(maps.maps, maps.prefix_tokens, strict=True)]
    given = neck(maps, Canvas((56, 56))).maps
    expected = ignoring(FeatureMaps(tuple(added), prefix_tokens=maps.prefix_tokens), Canvas((56, 56))).maps
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("strides", "published"),
    [
        ((16, 16, 16, 16), (4, 8, 16, 32)),
        ((8, 8, 8, 8), (4, 8, 16, 32)),
        ((8, 16, 32, 32), (4, 8, 16, 32)),  # FocalNet
        ((4, 8, 16, 32), (4, 8, 16, 32)),
    ],
)
def test_default_strides_are_those_of_a_pyramid(strides, published):
    pyramid = FeaturePyramid(tuple(Level(f"l{index}", 8, stride) for index, stride in enumerate(strides)))
    neck = DPTReassemble(pyramid, channels=4)
    assert neck.features.strides == published
    maps = FeatureMaps(tuple(torch.randn(1, 8, 128 // stride, 96 // stride) for stride in strides))
    for level, given in zip(neck.features.levels, neck(maps, Canvas((128, 96))).maps, strict=True):
        assert tuple(given.shape[-2:]) == (128 // level.stride, 96 // level.stride)


def test_as_many_levels_as_widths_or_factors():
    assert DPTReassemble.needs(None) == Requirement(spread=4)
    assert DPTReassemble.needs(None, level_channels=(8, 8)) == Requirement(spread=2)
    assert DPTReassemble.needs(Requirement(strides=(4, 8)), level_channels=None, factors=(1.0, 1.0, 1.0)).spread == 3
    neck = DPTReassemble(FeaturePyramid(PLAIN.levels[:2]), level_channels=(8, 8), factors=(2.0, 1.0))
    assert neck.features.strides == (7, 14)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level_channels": (8, 8)}, ContractError, "receives 4 levels and level_channels has 2 numbers.*The fix"),
        ({"factors": (4.0, 2.0, 1.0)}, ContractError, "receives 4 levels and factors has 3 numbers"),
        ({"factors": (4.0, 2.0, 1.0, 0.7)}, RecipeError, "whole numbers or one divided by a whole number"),
        ({"factors": (1.0, 2.0, 1.0, 1.0)}, RecipeError, r"strides 14, 7, 14, 14; levels run fine to coarse"),
    ],
)
def test_refuses_what_makes_no_pyramid(options, error, message):
    with pytest.raises(error, match=message):
        DPTReassemble(PLAIN, **options)


def test_refuses_to_read_a_token_that_is_not_there():
    with pytest.raises(ContractError, match=r"readout=add.*without one\. The fix: neck\.readout=ignore"):
        DPTReassemble(TestOfAPyramid().pyramid(), readout="add")
