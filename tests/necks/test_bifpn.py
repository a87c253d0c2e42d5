"""BiFPN: the neck's contract, its weighted sums, one run by hand."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.bifpn import BiFPN
from tests.necks.neck_tester import NeckTester


class TestBiFPN(NeckTester):
    part = BiFPN
    options = {"channels": 16, "num_repeats": 2}
    golden = (-0.325092, -0.129392, -0.119907, -0.322206)


class TestBiFPNWithExtraLevels(NeckTester):
    """As in EfficientDet: three levels of the backbone and two more."""

    part = BiFPN
    options = {"channels": 16, "num_repeats": 3, "num_extra_levels": 2}
    golden = (-0.324854, -0.128056, -0.120360, -0.322791)

    def pyramid(self):
        return FeaturePyramid((Level("c3", 8, 8), Level("c4", 16, 16), Level("c5", 24, 32)))


class TestBiFPNOnOneLevel(NeckTester):
    part = BiFPN
    options = {"channels": 64, "num_repeats": 1, "num_extra_levels": 1, "norm": "group"}
    golden = (-0.236743, 0.355850, -0.244639, -1.983601)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 24, 32),))


def test_publishes_the_levels_of_efficientdet():
    neck = TestBiFPNWithExtraLevels().build()
    assert neck.features.names == ("p3", "p4", "p5", "p6", "p7")
    assert neck.features.strides == (8, 16, 32, 64, 128)


def test_requires_only_what_it_uses():
    wanted = Requirement(strides=(8, 16, 32, 64, 128))
    assert BiFPN.needs(wanted, num_extra_levels=2) == Requirement(strides=(8, 16, 32))


def test_refuses_a_single_level():
    with pytest.raises(ContractError, match=r"receives c5 alone.*num_extra_levels=1"):
        BiFPN(FeaturePyramid((Level("c5", 24, 32),)))


def test_one_run_by_hand():
    """Three levels of one size of steps; the paper's equations, written out."""
    pyramid = FeaturePyramid((Level("c3", 3, 8), Level("c4", 4, 16), Level("c5", 5, 32)))
    tester = TestBiFPN()
    tester.pyramid = lambda: pyramid
    neck = tester.build(channels=6, num_repeats=1, norm="none")
    maps = [torch.randn(1, channels, side, side) for channels, side in ((3, 16), (4, 8), (5, 4))]

    def fuse(node, *inputs):
        weight = node.weight.clamp(min=0)
        total = sum(level * weight[index] for index, level in enumerate(inputs)) / (weight.sum() + 1e-4)
        hidden = functional.conv2d(functional.silu(total), node.convolution.depthwise.weight, padding=1, groups=6)
        return functional.conv2d(hidden, node.convolution.pointwise.weight, node.convolution.pointwise.bias)

    def up(level):
        return level.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def down(level):
        return functional.max_pool2d(level, 3, 2, 1)

    run = neck.runs[0]
    with torch.no_grad():
        p3, p4, p5 = (lateral(level) for lateral, level in zip(neck.lateral, maps, strict=True))
        again4, again5 = (lateral(level) for lateral, level in zip(neck.second_lateral, maps[1:], strict=True))
        middle4 = fuse(run.down[1], p4, up(p5))
        out3 = fuse(run.down[0], p3, up(middle4))
        out4 = fuse(run.up[0], again4, middle4, down(out3))
        out5 = fuse(run.up[1], again5, down(out4))
        given = neck(FeatureMaps(tuple(maps)), Canvas((128, 128))).maps
    for one, other in zip(given, (out3, out4, out5), strict=True):
        torch.testing.assert_close(one, other)


def test_a_weight_below_zero_counts_as_zero():
    neck, maps = TestBiFPN().build(num_repeats=1), TestBiFPN().maps((64, 64))
    with torch.no_grad():
        neck.runs[0].down[0].weight[1] = -3.0
        changed = FeatureMaps((*maps.maps[:1], *(level + 1 for level in maps.maps[1:])))
        before, after = (neck(given, Canvas((64, 64))).maps[0] for given in (maps, changed))
    assert torch.equal(before, after)
