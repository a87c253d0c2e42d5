"""FCNHead: the head's contract, the auxiliary prediction, equality with torchvision."""

import pytest
import torch
from torchvision.models.segmentation import fcn_resnet50

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.fcn.head import FCNHead
from tests.fixed_weights import randomise_weights
from tests.heads.head_tester import HeadTester


class TestFCN(HeadTester):
    part = FCNHead
    options = {"num_classes": 5}
    prediction = DenseLogits
    golden = (0.365691, -0.009842, -0.074250, -0.013238)

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *size)}


class TestFCNWithAuxiliary(TestFCN):
    options = {"num_classes": 5, "channels": 6, "auxiliary": True, "auxiliary_channels": 3}
    golden = (0.466248, -0.158876, -0.043525, -0.163285)

    def test_auxiliary_logits_are_returned_in_training_and_with_targets(self):
        head, maps, canvas = self.build(), self.maps((33, 47)), Canvas((33, 47))
        for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
            assert [tuple(logits.shape) for logits in prediction.auxiliary] == [(2, 5, 33, 47)]

    def test_auxiliary_reads_the_level_before_the_deepest(self):
        head, maps, canvas = self.build(), self.maps((64, 64)), Canvas((64, 64))
        changed = FeatureMaps((*maps.maps[:2], maps.maps[2] + 1, maps.maps[3]))
        before, after = head(maps, canvas, []), head(changed, canvas, [])
        assert torch.equal(before.logits, after.logits)
        assert not torch.equal(before.auxiliary[0], after.auxiliary[0])


def test_requires_the_deepest_levels():
    assert FCNHead.needs(None) == Requirement(last=1)
    assert FCNHead.needs(None, auxiliary=True) == Requirement(last=2)


def test_refuses_an_auxiliary_without_a_second_level():
    with pytest.raises(ContractError, match=r"requires 2 levels, it receives 1\. The fix: auxiliary=false"):
        FCNHead(FeaturePyramid((Level("c5", 64, 32),)), num_classes=3, auxiliary=True)


def test_hidden_width_is_a_quarter_of_the_map():
    head = FCNHead(FeaturePyramid((Level("c5", 64, 32),)), num_classes=3)
    assert head.classifier.convolution.out_channels == 16
    assert FCNHead(FeaturePyramid((Level("c5", 3, 32),)), num_classes=3).classifier.convolution.out_channels == 1


@pytest.mark.parity
@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_equals_torchvision(size):
    reference = fcn_resnet50(weights=None, weights_backbone=None, num_classes=7, aux_loss=True)
    del reference.backbone  # the heads alone: its maps come from us
    randomise_weights(reference).eval()
    pyramid = FeaturePyramid((Level("c4", 1024, 8), Level("c5", 2048, 8)))
    head = FCNHead(pyramid, num_classes=7, auxiliary=True).eval()
    for ours, theirs in (
        (head.classifier, reference.classifier),
        (head.auxiliary_classifier, reference.aux_classifier),
    ):
        ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    maps = tuple(torch.randn(2, channels, size[0] // 8, size[1] // 8) for channels in pyramid.channels)
    reference.backbone = lambda _: {"aux": maps[0], "out": maps[1]}
    with torch.no_grad():
        expected = reference(torch.zeros(2, 3, *size))
        prediction = head(FeatureMaps(maps), Canvas(size), targets=[{}, {}])
    torch.testing.assert_close(prediction.logits, expected["out"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(prediction.auxiliary[0], expected["aux"], rtol=1e-4, atol=1e-5)
