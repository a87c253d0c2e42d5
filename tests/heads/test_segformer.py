"""SegFormerHead: the head's contract, equality with transformers' decode head."""

import pytest
import torch

from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import DenseLogits
from backbonekit.contract.requirements import Requirement
from backbonekit.heads.segformer.head import SegFormerHead
from tests.fixed_weights import randomise_weights
from tests.heads.head_tester import HeadTester


class TestSegFormer(HeadTester):
    part = SegFormerHead
    options = {"num_classes": 5, "channels": 8}
    golden = (-0.061653, -0.550601, -0.044583, -0.461762)
    prediction = DenseLogits

    def shapes(self, batch, size):
        return {"logits": (batch, 5, *(-(-side // 4) for side in size))}


def test_requires_four_strides():
    assert SegFormerHead.needs(None) == Requirement(strides=(4, 8, 16, 32))


@pytest.mark.parity
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (131, 87)])
def test_equals_the_decode_head_of_transformers(size, training):
    pytest.importorskip("transformers")
    from transformers import SegformerConfig
    from transformers.models.segformer.modeling_segformer import SegformerDecodeHead

    tester = TestSegFormer()
    config = SegformerConfig(
        hidden_sizes=list(tester.pyramid().channels),
        decoder_hidden_size=24,
        num_labels=5,
        classifier_dropout_prob=0.0,
    )
    reference = randomise_weights(SegformerDecodeHead(config)).double().train(training)
    head = SegFormerHead(tester.pyramid(), num_classes=5, channels=24, dropout=0.0).double().train(training)
    # Theirs are linear layers over tokens and come in this order too: projections, mix, norm, classifier.
    theirs = reference.state_dict().values()
    ours = head.state_dict()
    head.load_state_dict({name: value.reshape(ours[name].shape) for name, value in zip(ours, theirs, strict=True)})
    maps = [level.double().requires_grad_() for level in tester.maps(size).maps]
    expected = reference(maps)
    logits = head(FeatureMaps(tuple(maps)), Canvas(size)).logits
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(logits)
    gradients = (torch.autograd.grad((given * weights).sum(), maps) for given in (logits, expected))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
