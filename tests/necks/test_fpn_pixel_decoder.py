"""FPNPixelDecoder: the neck's contract, which levels it merges, levels that pass through."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.fpn_pixel_decoder import FPNPixelDecoder
from tests.necks.neck_tester import NeckTester


class TestFPNPixelDecoder(NeckTester):
    part = FPNPixelDecoder
    options = {"channels": 32, "mask_channels": 7}
    golden = (1.332474, 1.535801, 2.216872, 0.456261)

    def call(self, part, maps, canvas):
        # The computed map first, so that the golden slice is taken from it; the levels pass through.
        out = part(maps, canvas)
        return [out.extras["mask_features"], *(out.maps if any(one.requires_grad for one in maps.maps) else ())]

    def test_levels_pass_through_and_mask_features_are_as_fine_as_the_finest(self):
        neck, maps = self.build(), self.maps((33, 47))
        out = neck(maps, Canvas((33, 47)))
        assert all(given is received for given, received in zip(out.maps, maps.maps, strict=True))
        assert out.extras["mask_features"].shape == (2, 7, 9, 12)
        assert neck.features.extras["mask_features"] == Level("mask_features", 7, 4)
        assert neck.features.levels == self.pyramid().levels


class TestFPNPixelDecoderOverThree(TestFPNPixelDecoder):
    options = {"channels": 64, "mask_channels": 7, "num_deepest_levels": 3}
    golden = (-0.522204, -1.055923, 0.758518, -1.472015)

    def test_levels_pass_through_and_mask_features_are_as_fine_as_the_finest(self):
        neck, maps = self.build(), self.maps((33, 47))
        out = neck(maps, Canvas((33, 47)))
        assert out.extras["mask_features"].shape == (2, 7, 5, 6)
        assert neck.features.extras["mask_features"].stride == 8


def test_a_deeper_level_reaches_the_mask_features():
    tester = TestFPNPixelDecoder()
    neck, maps = tester.build(), tester.maps((64, 64))
    before = neck(maps, Canvas((64, 64))).extras["mask_features"]
    for index in range(4):
        changed = [one + torch.randn_like(one) if at == index else one for at, one in enumerate(maps.maps)]
        after = neck(FeatureMaps(tuple(changed)), Canvas((64, 64))).extras["mask_features"]
        assert not torch.allclose(before, after), index


def test_of_more_levels_it_folds_one_an_octave():
    pyramid = FeaturePyramid(tuple(Level(f"l{index}", 8, stride) for index, stride in enumerate((2, 4, 4, 8, 14, 32))))
    neck = FPNPixelDecoder(pyramid, channels=32)
    assert neck.positions == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("wanted", "deepest", "required"),
    [
        (None, 0, Requirement(strides=(4, 8, 16, 32))),
        (Requirement(last=1, extras=("mask_features",)), 0, Requirement(strides=(4, 8, 16, 32), last=1)),
        (Requirement(last=1, extras=("mask_features",)), 4, Requirement(last=4)),
        (Requirement(strides=(64,)), 0, Requirement(strides=(4, 8, 16, 32, 64))),
    ],
)
def test_requires_four_octaves_and_the_other_requirements_of_its_consumer(wanted, deepest, required):
    assert FPNPixelDecoder.needs(wanted, num_deepest_levels=deepest) == required


@pytest.mark.parametrize(
    ("strides", "options", "message"),
    [
        ((8, 16, 32), {}, r"receives strides 8, 16, 32, so 4 is missing\. The fix: .*num_deepest_levels=3"),
        ((4, 8, 16, 32), {"num_deepest_levels": 5}, "num_deepest_levels=5, and it receives 4 levels"),
        ((4, 8, 16, 32), {"num_deepest_levels": 1}, "requires at least 2"),
        ((4, 8, 16, 32), {"channels": 100}, "channels=100 is no multiple of 32.*96 is the nearest"),
        ((4, 8, 16, 32), {"channels": 8}, "32 is the nearest"),
    ],
)
def test_refuses_what_it_cannot_fold(strides, options, message):
    pyramid = FeaturePyramid(tuple(Level(f"l{index}", 8, stride) for index, stride in enumerate(strides)))
    with pytest.raises(ContractError, match=message):
        FPNPixelDecoder(pyramid, **options)
