"""UNetHead: the head's contract, over levels from stride 4 and from stride 2."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.unet.head import UNetHead
from tests.heads.head_tester import HeadTester


class TestUNet(HeadTester):
    part = UNetHead
    options = {"num_classes": 5, "channels": (32, 24, 20, 16, 12)}
    golden = (0.700687, -0.198694, 0.026941, -0.194499)
    prediction = DenseLogits

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *size)}


class TestUNetFromStride2(TestUNet):
    options = {"num_classes": 5, "channels": (32, 24, 20, 16, 12), "finest_stride": 2}
    golden = (1.668568, -0.205303, 0.052652, -0.226987)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"c{power}", 4 * power, 2**power) for power in (1, 2, 3, 4, 5)))


class TestUNetOnPatchesOf14(TestUNet):
    options = {"num_classes": 5, "channels": (24, 20, 16, 16, 12)}
    golden = (-0.053870, -0.197829, 0.127352, -0.188438)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{power}", 8, 14 * 2.0 ** (power - 4)) for power in (2, 3, 4, 5)))


def test_every_level_enters():
    head, maps, canvas = TestUNet().build(), TestUNet().maps((64, 64)), Canvas((64, 64))
    before = head(maps, canvas).logits
    for index in range(4):
        levels = list(maps.maps)
        levels[index] = levels[index] + 1
        assert not torch.equal(head(FeatureMaps(tuple(levels)), canvas).logits, before)


def test_requires_every_stride_from_the_finest():
    assert UNetHead.needs(None) == Requirement(strides=(4, 8, 16, 32))
    assert UNetHead.needs(None, finest_stride=2) == Requirement(strides=(2, 4, 8, 16, 32))


def test_refuses_another_number_of_widths_with_the_fix():
    with pytest.raises(ContractError, match=r"channels=\[8, 4\] are 2 widths.*5 doublings.*\[256, 128, 64, 32, 16\]"):
        UNetHead(TestUNet().pyramid(), num_classes=3, channels=(8, 4))
    with pytest.raises(ContractError, match=r"so 2 is missing"):
        UNetHead(TestUNet().pyramid(), num_classes=3, finest_stride=2)
