"""DeepLabV3PlusHead: the head's contract, its two maps, its auxiliary prediction."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.deeplabv3plus.head import DeepLabV3PlusHead
from tests.heads.head_tester import HeadTester


class TestDeepLabV3Plus(HeadTester):
    """On the levels of a backbone that is dilated to stride 16."""

    part = DeepLabV3PlusHead
    options = {"num_classes": 5, "channels": 16, "fine_channels": 6, "rates": (1, 2)}
    golden = (0.191012, -0.342978, 0.102731, -0.345128)
    prediction = DenseLogits

    def pyramid(self):
        return FeaturePyramid((Level("stage1", 8, 4), Level("stage3", 16, 16), Level("stage4", 24, 16)))

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *size)}


class TestDeepLabV3PlusWithFullConvolutions(TestDeepLabV3Plus):
    options = {"num_classes": 5, "channels": 16, "fine_channels": 6, "rates": (1,), "separable": False}
    golden = (0.186709, -0.359911, 0.113195, -0.302822)


def test_reads_stride_4_and_the_deepest_alone():
    tester = TestDeepLabV3Plus()
    head, maps, canvas = tester.build(), tester.maps((64, 64)), Canvas((64, 64))
    before = head(maps, canvas).logits
    for index, differs in ((0, True), (1, False), (2, True)):
        levels = list(maps.maps)
        levels[index] = levels[index] + 1
        assert torch.equal(head(FeatureMaps(tuple(levels)), canvas).logits, before) is not differs


def test_auxiliary_logits_are_returned_in_training_and_with_targets():
    tester = TestDeepLabV3Plus()
    head, maps, canvas = tester.build(auxiliary=True), tester.maps((33, 47)), Canvas((33, 47))
    for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
        assert [tuple(logits.shape) for logits in prediction.auxiliary] == [(2, 5, 33, 47)]
    assert head.eval()(maps, canvas).auxiliary is None


def test_trains_on_one_image():
    head = TestDeepLabV3Plus().build().train()
    head(TestDeepLabV3Plus().maps((64, 96), batch=1), Canvas((64, 96))).logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_requires_stride_4_and_the_deepest():
    assert DeepLabV3PlusHead.needs(None) == Requirement(strides=(4,), last=1)
    assert DeepLabV3PlusHead.needs(None, auxiliary=True) == Requirement(strides=(4,), last=2)


def test_refuses_levels_that_it_cannot_read():
    with pytest.raises(ContractError, match=r"requires levels at strides 4; it receives strides 8, so 4 is missing"):
        DeepLabV3PlusHead(FeaturePyramid((Level("a", 4, 8),)), num_classes=3)
    with pytest.raises(ContractError, match=r"requires 1 level deeper than stride 4; it receives strides 4\."):
        DeepLabV3PlusHead(FeaturePyramid((Level("a", 4, 4),)), num_classes=3)
    with pytest.raises(ContractError, match=r"requires 2 levels deeper .*auxiliary=false"):
        DeepLabV3PlusHead(FeaturePyramid((Level("a", 4, 4), Level("b", 4, 32))), num_classes=3, auxiliary=True)
