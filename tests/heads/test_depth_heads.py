"""DPTHead and DepthAnythingHead: the head's contract, the sizes and ranges of their depth, what they refuse."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseDepth
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.depth_anything.head import DepthAnythingHead
from backbonekit.heads.dpt.head import DPTHead
from tests.heads.head_tester import HeadTester


class DepthHeadTester(HeadTester):
    prediction = DenseDepth
    strides = (4, 8, 16, 32)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{index}", 12, stride) for index, stride in enumerate(self.strides, 2)))

    def test_one_class_is_enough(self):
        """There are no classes."""
        with pytest.raises(TypeError, match="num_classes"):
            self.build(num_classes=1)

    def test_depth_is_never_negative_and_not_all_zero(self):
        depth = self.build()(self.maps((64, 64)), Canvas((64, 64))).depth
        assert (depth >= 0).all()
        assert depth.any()

    def test_every_level_takes_part(self):
        head, maps = self.build(), self.maps((64, 64))
        before = head(maps, Canvas((64, 64))).depth
        for index in range(len(maps.maps)):
            changed = [one + torch.randn_like(one) if at == index else one for at, one in enumerate(maps.maps)]
            assert not torch.allclose(head(FeatureMaps(tuple(changed)), Canvas((64, 64))).depth, before), index

    def test_refuses_levels_of_several_widths(self):
        uneven = FeaturePyramid((Level("p2", 8, 4), Level("p3", 16, 8)))
        with pytest.raises(ContractError, match=r"one width and receives 8, 16 channels\. The fix: neck=dpt_rea"):
            self.part(uneven)

    def test_requires_a_pyramid(self):
        assert self.part.needs(None) == Requirement(strides=(4, 8, 16, 32))


class TestDPT(DepthHeadTester):
    part = DPTHead
    options = {"hidden_channels": 6}
    golden = (0.016750, 0.010904, 0.004513, 0.009758)

    def shapes(self, batch, size):
        # Every level doubles what came before it, whatever the sides of the finer levels are, and the end doubles once.
        return {"depth": (batch, *(-(-side // 32) * 32 for side in size))}


class TestDPTWithNorms(TestDPT):
    options = {"hidden_channels": 6, "norm": "batch", "project": True}
    golden = (0.016216, 0.006445, 0.000000, 0.007673)


class TestDepthAnything(DepthHeadTester):
    part = DepthAnythingHead
    options = {"hidden_channels": 6}
    golden = (0.016750, 0.010904, 0.004513, 0.009758)

    def shapes(self, batch, size):
        return {"depth": (batch, *size)}


class TestMetricDepthAnything(TestDepthAnything):
    options = {"hidden_channels": 6, "metric": True, "max_depth": 20.0}
    golden = (10.083746, 10.054518, 10.022564, 10.048790)

    def test_depth_lies_between_0_and_the_largest(self):
        depth = self.build()(self.maps((64, 64)), Canvas((64, 64))).depth
        assert 0 < depth.min() < depth.max() < 20


class TestDepthAnythingOverLargePatches(TestDepthAnything):
    strides = (3.5, 7, 14, 28)
    golden = (0.022027, 0.018306, 0.002987, 0.011425)


@pytest.mark.parametrize(("size", "seen"), [((28, 42), (28, 42)), ((41, 55), (28, 42)), ((131, 87), (126, 84))])
def test_depth_ends_with_the_last_whole_patch(size, seen):
    """The maps of a plain transformer, whose patches leave out what is no whole patch."""
    tester = TestDepthAnythingOverLargePatches()
    head = tester.build()
    height, width = (side // 14 for side in size)
    sides = [(4 * height, 4 * width), (2 * height, 2 * width), (height, width), (-(-height // 2), -(-width // 2))]
    maps = FeatureMaps(tuple(torch.randn(1, 12, *side) for side in sides))
    assert tuple(head(maps, Canvas(size)).depth.shape) == (1, *seen)
