"""SemanticFPNHead: the head's contract, the paper's figure by hand."""

import torch
import torch.nn.functional as functional

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.heads.semantic_fpn.head import SemanticFPNHead
from tests.heads.head_tester import HeadTester


class TestSemanticFPN(HeadTester):
    part = SemanticFPNHead
    options = {"num_classes": 5, "channels": 8, "norm": "batch"}
    golden = (-0.639944, -0.020776, -0.689105, 0.090269)
    prediction = DenseLogits

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *size)}


class TestSemanticFPNAmongMoreLevels(TestSemanticFPN):
    """Levels of stride 2 and 64 are there too and are not read."""

    options = {"num_classes": 5, "channels": 6, "norm": "batch"}
    golden = (0.208504, -0.706320, -0.461942, -0.891192)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{power}", 8, 2**power) for power in (1, 2, 3, 4, 5, 6)))


def test_requires_four_strides():
    assert SemanticFPNHead.needs(None) == Requirement(strides=(4, 8, 16, 32))


def test_equals_the_papers_figure_by_hand():
    """Sizes that halve exactly, so that every doubling of the figure is one."""
    tester = TestSemanticFPN()
    head = tester.build(norm="group", channels=64)
    maps = tester.maps((128, 192)).maps

    def double(level):
        return functional.interpolate(level, scale_factor=2, mode="bilinear")

    total = head.ascents[0][0](maps[0]).relu()
    for level, ascent in zip(maps[1:], list(head.ascents)[1:], strict=True):
        for block in ascent:
            convolution, norm = block.convolution, block.norm
            level = functional.conv2d(level, convolution.weight, padding=1)
            level = double(functional.group_norm(level, 32, norm.weight, norm.bias).relu())
        total = total + level
    expected = functional.interpolate(head.classifier(total), scale_factor=4, mode="bilinear")
    given = head(FeatureMaps(maps), Canvas((128, 192))).logits
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)
    assert [len(list(ascent)) for ascent in head.ascents] == [1, 1, 2, 3]
