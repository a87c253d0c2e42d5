"""UPerNetHead: the head's contract, its auxiliary prediction, which levels it takes, padding."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.upernet.head import UPerNetHead
from tests.heads.head_tester import HeadTester


class TestUPerNet(HeadTester):
    part = UPerNetHead
    options = {"num_classes": 5, "channels": 8, "auxiliary": False}
    golden = (-0.233272, -0.099020, -0.069408, -0.141869)
    prediction = DenseLogits

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *size)}


class TestUPerNetOnAPlainTransformer(TestUPerNet):
    options = {"num_classes": 5, "channels": 8, "auxiliary": False, "num_deepest_levels": 3, "scales": (1, 2)}
    golden = (-0.411243, -0.902757, 0.138084, -0.122131)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"block.{index}", 12, 16, prefix_tokens=1) for index in range(4)))


def auxiliary_head(**options):
    return TestUPerNet().build(auxiliary=True, auxiliary_channels=6, **options)


def test_auxiliary_logits_are_returned_in_training_and_with_targets():
    head, maps, canvas = auxiliary_head(), TestUPerNet().maps((33, 47)), Canvas((33, 47))
    assert head(maps, canvas).auxiliary is None
    for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
        assert [tuple(logits.shape) for logits in prediction.auxiliary] == [(2, 5, 33, 47)]


def test_auxiliary_reads_the_level_that_is_named():
    maps, canvas = TestUPerNet().maps((64, 64)), Canvas((64, 64))
    changed = FeatureMaps((maps.maps[0] + 1, *maps.maps[1:]))
    for level, differs in ((2, False), (0, True)):
        head = auxiliary_head(auxiliary_level_index=level)
        before, after = head(maps, canvas, []), head(changed, canvas, [])
        assert torch.equal(before.auxiliary[0], after.auxiliary[0]) is not differs


def test_gradient_reaches_every_parameter_with_the_auxiliary():
    head = auxiliary_head().train()
    prediction = head(TestUPerNet().maps((64, 64)), Canvas((64, 64)))
    sum((logits * torch.randn_like(logits)).sum() for logits in (prediction.logits, *prediction.auxiliary)).backward()
    assert not [name for name, parameter in head.named_parameters() if parameter.grad is None]


def test_trains_on_one_image():
    head = auxiliary_head().train()
    head(TestUPerNet().maps((64, 96), batch=1), Canvas((64, 96))).logits.square().sum().backward()


def test_requires_four_strides_or_the_deepest_levels():
    assert UPerNetHead.needs(None) == Requirement(strides=(4, 8, 16, 32))
    assert UPerNetHead.needs(None, num_deepest_levels=3) == Requirement(last=3)


def test_refuses_levels_that_it_cannot_read():
    pyramid = FeaturePyramid((Level("a", 4, 8), Level("b", 4, 16)))
    with pytest.raises(ContractError, match=r"receives strides 8, 16, so 4, 32 is missing\. The fix: "):
        UPerNetHead(pyramid, num_classes=3)
    with pytest.raises(ContractError, match=r"num_deepest_levels=3, and it receives 2 levels .*num_deepest_levels=2"):
        UPerNetHead(pyramid, num_classes=3, num_deepest_levels=3)
    with pytest.raises(
        ContractError, match=r"auxiliary_level_index=2, but it takes 2 levels, 0 to 1.*auxiliary_level_index=0"
    ):
        UPerNetHead(pyramid, num_classes=3, num_deepest_levels=2)
