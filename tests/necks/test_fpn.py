"""FeaturePyramidNetwork: the neck's contract, its extra levels, equality with torchvision."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision import ops
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.fpn import FeaturePyramidNetwork
from tests.fixed_weights import randomise_weights
from tests.necks.neck_tester import NeckTester


class TestFPN(NeckTester):
    part = FeaturePyramidNetwork
    options = {"channels": 16}
    golden = (0.440191, 0.012971, 0.237462, 0.109552)


class TestFPNWithConvolvedLevels(NeckTester):
    part = FeaturePyramidNetwork
    options = {"channels": 16, "norm": "batch", "num_extra_levels": 2, "extra": "convolution"}
    golden = (0.274094, -0.250455, -0.167125, 0.117277)


class TestFPNWithPooledLevels(NeckTester):
    part = FeaturePyramidNetwork
    options = {"channels": 16, "norm": "group", "num_extra_levels": 3}
    golden = (0.646092, 0.344105, -0.081627, -0.155226)


def test_levels_are_named_by_octave_and_keep_their_strides():
    patches = FeaturePyramid((Level("a", 8, 7), Level("b", 8, 14)))
    neck = FeaturePyramidNetwork(patches, channels=4, num_extra_levels=2)
    assert neck.features.names == ("p3", "p4", "p5", "p6")
    assert neck.features.strides == (7, 14, 28, 56)


@pytest.mark.parametrize(
    ("wanted", "extra_levels", "required"),
    [
        (None, 0, Requirement(strides=(4, 8, 16, 32))),
        (None, 2, Requirement(strides=(4, 8, 16, 32))),
        (Requirement(strides=(8, 16, 32)), 0, Requirement(strides=(8, 16, 32))),
        (Requirement(strides=(8, 16, 32, 64, 128)), 2, Requirement(strides=(8, 16, 32))),
        (Requirement(strides=(8,)), 2, Requirement(strides=(8,))),
        (Requirement(last=3), 0, Requirement(last=3)),
        (Requirement(last=3), 2, Requirement(last=1)),
        (Requirement(last=1), 2, Requirement(last=1)),
    ],
)
def test_requires_only_what_it_uses(wanted, extra_levels, required):
    assert FeaturePyramidNetwork.needs(wanted, num_extra_levels=extra_levels) == required


def test_refuses_two_levels_of_one_octave():
    plain = FeaturePyramid((Level("block.3", 8, 16), Level("block.7", 8, 16)))
    with pytest.raises(ContractError, match=r"strides 16, 16\. The fix: .*simple_feature_pyramid"):
        FeaturePyramidNetwork(plain)


def test_refuses_no_level():
    with pytest.raises(ContractError, match="receives no level"):
        FeaturePyramidNetwork(FeaturePyramid(()))


@pytest.mark.parity
@pytest.mark.parametrize("size", [(64, 64), (33, 47), (97, 130)])
@pytest.mark.parametrize(
    ("options", "extra_blocks", "norm_layer"),
    [
        ({}, None, None),
        ({"norm": "batch"}, None, nn.BatchNorm2d),
        ({"num_extra_levels": 1}, LastLevelMaxPool(), None),
        ({"num_extra_levels": 2, "extra": "convolution"}, LastLevelP6P7(16, 16), None),
        ({"num_extra_levels": 2, "extra": "convolution_of_input"}, LastLevelP6P7(64, 16), None),
    ],
    ids=["plain", "batch norm", "max pool", "P6 P7 of P5", "P6 P7 of C5"],
)
def test_equals_torchvision_bit_for_bit(size, options, extra_blocks, norm_layer):
    tester = TestFPN()
    neck = tester.build(**options)
    reference = ops.FeaturePyramidNetwork(
        list(tester.pyramid().channels), 16, extra_blocks=extra_blocks, norm_layer=norm_layer
    ).eval()
    # The reference's order of weights is ours: inner blocks, layer blocks, extra blocks.
    theirs, ours = reference.state_dict(), neck.state_dict()
    assert [tensor.shape for tensor in theirs.values()] == [tensor.shape for tensor in ours.values()]
    reference.load_state_dict(dict(zip(theirs, ours.values(), strict=True)))
    maps = tester.maps(size)
    named = OrderedDict((str(index), level) for index, level in enumerate(maps.maps))
    with torch.no_grad():
        expected = list(reference(named).values())
        given = neck(maps, Canvas(size)).maps
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_starts_as_the_reference_does():
    pyramid = FeaturePyramid((Level("a", 64, 8), Level("b", 128, 16)))
    neck = FeaturePyramidNetwork(pyramid, channels=64, num_extra_levels=1, extra="convolution")
    for name, parameter in neck.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            bound = (3 / parameter[0].numel()) ** 0.5  # kaiming uniform with a = 1
            assert 0.95 * bound < parameter.abs().max() <= bound


def test_levels_beyond_the_first_take_part_in_every_finer_one():
    neck = randomise_weights(FeaturePyramidNetwork(TestFPN().pyramid(), channels=8)).eval()
    maps = TestFPN().maps((64, 64))
    changed = FeatureMaps((*maps.maps[:3], maps.maps[3] + 1))
    before, after = neck(maps, Canvas((64, 64))).maps, neck(changed, Canvas((64, 64))).maps
    assert all(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
