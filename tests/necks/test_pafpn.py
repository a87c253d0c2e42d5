"""PathAggregationNetwork: the neck's contract, its two paths."""

import torch
import torch.nn.functional as functional

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.necks.fpn import FeaturePyramidNetwork
from backbonekit.necks.pafpn import PathAggregationNetwork
from tests.necks.neck_tester import NeckTester


class TestPAFPN(NeckTester):
    part = PathAggregationNetwork
    options = {"channels": 16}
    golden = (-0.032691, -0.013762, -0.182155, 0.095255)


class TestPAFPNWithExtraLevels(NeckTester):
    part = PathAggregationNetwork
    options = {"channels": 16, "norm": "batch", "num_extra_levels": 2}
    golden = (-0.530531, 0.141994, -0.193664, 0.020638)


class TestPAFPNOnOneLevel(NeckTester):
    part = PathAggregationNetwork
    options = {"channels": 8}
    golden = (-0.088593, 0.094049, -0.055883, 0.135530)

    def pyramid(self):
        return FeaturePyramid((Level("c5", 12, 32),))


def test_requires_only_what_it_uses():
    wanted = Requirement(strides=(8, 16, 32, 64, 128))
    assert PathAggregationNetwork.needs(wanted, num_extra_levels=2) == Requirement(strides=(8, 16, 32))


def test_both_paths_by_hand():
    """Two levels, the convolutions called one by one."""
    pyramid = FeaturePyramid((Level("c4", 3, 16), Level("c5", 5, 32)))
    tester = TestPAFPN()
    tester.pyramid = lambda: pyramid
    neck = tester.build(channels=4)
    fine, coarse = torch.randn(1, 3, 7, 9), torch.randn(1, 5, 4, 5)
    top_down = FeaturePyramidNetwork(pyramid, channels=4)
    top_down.load_state_dict(neck.fpn.state_dict())
    p4, p5 = top_down(FeatureMaps((fine, coarse)), Canvas((112, 144))).maps
    down, out = neck.down[0].convolution, neck.output[0].convolution
    up = p5 + functional.conv2d(p4, down.weight, down.bias, stride=2, padding=1)
    expected = functional.conv2d(up, out.weight, out.bias, padding=1)
    given = neck(FeatureMaps((fine, coarse)), Canvas((112, 144))).maps
    torch.testing.assert_close(given[0], p4)
    torch.testing.assert_close(given[1], expected)


def test_the_finest_level_reaches_the_coarsest_by_the_second_path():
    neck, maps = TestPAFPN().build(), TestPAFPN().maps((64, 64))
    changed = FeatureMaps((maps.maps[0] + 1, *maps.maps[1:]))
    before, after = (neck(given, Canvas((64, 64))).maps[-1] for given in (maps, changed))
    assert not torch.equal(before, after)
