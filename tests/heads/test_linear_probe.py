"""LinearProbeHead: the head's contract, one map and several."""

import pytest
import torch
import torch.nn.functional as functional

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.linear_probe.head import LinearProbeHead
from tests.heads.head_tester import HeadTester


class TestLinearProbe(HeadTester):
    part = LinearProbeHead
    options = {"num_classes": 5}
    golden = (-1.153193, -0.013765, -0.820934, 0.085012)
    prediction = DenseLogits

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *(-(-side // 32) for side in size))}


class TestLinearProbeOfFourBlocks(TestLinearProbe):
    options = {"num_classes": 5, "num_levels": 4, "dropout": 0.1}
    golden = (0.711545, -0.966586, -0.479981, -0.874010)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"block.{index}", 6, 14, prefix_tokens=1) for index in range(5)))

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *(-(-side // 14) for side in size))}


class TestLinearProbeOfTwoSizes(TestLinearProbe):
    options = {"num_classes": 5, "num_levels": 2}
    golden = (1.067314, -1.446799, -0.786177, -1.697633)

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *(-(-side // 16) for side in size))}


def test_is_linear_in_the_resized_maps():
    tester = TestLinearProbeOfTwoSizes()
    head, maps = tester.build(), tester.maps((70, 101))
    fine, coarse = maps.maps[-2:]
    together = torch.cat((fine, functional.interpolate(coarse, fine.shape[-2:], mode="bilinear")), 1)
    norm = head.norm
    scale = norm.weight / (norm.running_var + norm.eps) ** 0.5
    normed = (together - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]
    expected = torch.einsum("bchw,kc->bkhw", normed, head.classifier.weight[..., 0, 0])
    expected = expected + head.classifier.bias[:, None, None]
    torch.testing.assert_close(head(maps, Canvas((70, 101))).logits, expected, rtol=1e-5, atol=1e-5)


def test_requires_the_deepest_maps():
    assert LinearProbeHead.needs(None) == Requirement(last=1)
    assert LinearProbeHead.needs(None, num_levels=4) == Requirement(last=4)


def test_refuses_more_levels_than_there_are():
    with pytest.raises(ContractError, match=r"num_levels=4, but it receives 1 level\. The fix: num_levels=1"):
        LinearProbeHead(FeaturePyramid((Level("a", 4, 16),)), num_classes=3, num_levels=4)
