"""DeformableEncoderNeck: the neck's contract, padding, the width that it requires."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.deformable_encoder import DeformableEncoderNeck
from tests.necks.neck_tester import NeckTester


class TestDeformableEncoder(NeckTester):
    part = DeformableEncoderNeck
    options: ClassVar = {"num_layers": 2, "num_heads": 4, "num_points": 2, "feedforward_channels": 24, "dropout": 0.0}
    golden = (1.238473, 1.089162, -0.585411, 1.279674)

    def pyramid(self):
        return FeaturePyramid(tuple(replace(level, channels=16) for level in super().pyramid().levels[1:]))

    def test_padding_is_not_read(self):
        neck, maps = self.build(), self.maps((128, 96))
        mask = torch.ones(2, 128, 96, dtype=torch.bool)
        mask[1, 64:], mask[1, :, 32:] = False, False
        expected = neck(maps, Canvas((128, 96), mask)).maps
        for level in maps.maps:
            rows, columns = level.shape[-2] // 2, level.shape[-1] // 3
            level[1, :, rows:], level[1, :, :, columns:] = 50.0, -50.0
        given = neck(maps, Canvas((128, 96), mask)).maps
        for one, other in zip(given, expected, strict=True):
            rows, columns = one.shape[-2] // 2, one.shape[-1] // 3
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1, :, :rows, :columns], other[1, :, :rows, :columns])

    def test_requires_what_its_consumer_requires(self):
        assert DeformableEncoderNeck.needs(Requirement(strides=(4, 64))) == Requirement(strides=(4, 64))

    def test_refuses_levels_of_several_widths(self):
        with pytest.raises(ContractError, match=r"receives 8, 16 channels\. The fix: channel_mapper before it"):
            DeformableEncoderNeck(FeaturePyramid((Level("c3", 8, 8), Level("c4", 16, 16))))
