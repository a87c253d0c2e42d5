"""ViTPoseHead: the head's contract, with both decoders."""

import pytest

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.predictions import Heatmaps
from backbonekit.errors import ContractError
from backbonekit.heads.vitpose.head import ViTPoseHead
from tests.heads.head_tester import HeadTester


class TestSimple(HeadTester):
    part = ViTPoseHead
    options = {"num_classes": 5}
    prediction = Heatmaps
    golden = (-1.219013, -0.150974, -0.030553, -1.702472)

    def shapes(self, batch, size):
        return {"heatmaps": (batch, 5, *(4 * -(-side // 32) for side in size))}


class TestSimpleTwiceAsFine(TestSimple):
    options = {"num_classes": 5, "scale": 2}
    golden = (-1.998137, -0.160093, -0.026248, -2.096910)

    def shapes(self, batch, size):
        return {"heatmaps": (batch, 5, *(2 * -(-side // 32) for side in size))}


class TestClassic(TestSimple):
    options = {"num_classes": 5, "decoder": "classic", "channels": 6}
    golden = (-0.155040, 0.025027, 0.147168, 0.033552)


def test_refuses_no_level():
    with pytest.raises(ContractError, match="receives none"):
        ViTPoseHead(FeaturePyramid(()), num_classes=3)
