"""DETRHead: the head's contract, its auxiliary predictions, padding."""

from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.detr.head import DETRHead
from tests.heads.head_tester import HeadTester

SMALL = {
    "num_classes": 3,
    "num_queries": 5,
    "num_layers": 3,
    "num_heads": 4,
    "feedforward_channels": 24,
    "dropout": 0.0,
}


class TestDETR(HeadTester):
    part = DETRHead
    options: ClassVar = SMALL
    prediction = BoxQueries
    golden = (0.856268, 1.049783, 0.610208, -0.196572)

    def shapes(self, batch, size):
        return {"class_logits": (batch, 5, 4), "boxes_cxcywh": (batch, 5, 4)}

    def test_gradient_reaches_every_parameter(self):
        head = self.build().double().train()
        maps = replace(self.maps((64, 96)), maps=tuple(level.double() for level in self.maps((64, 96)).maps))
        sum((tensor * torch.randn_like(tensor)).sum() for tensor in self.run(head, maps, (64, 96))).backward()
        size = {name: parameter.grad.abs().max().item() for name, parameter in head.named_parameters()}
        # The queries start at zero: how the first layer weighs them cannot matter, nor what it multiplies them
        # with. Nor can, in any softmax, a bias that all keys share. The reference has the same idle parameters.
        first = "layers.0.self_attention."
        idle = {name for name in size if name.startswith((first + "query", first + "key", first + "value.weight"))}
        idle |= {name for name in size if name.endswith("attention.key.bias")}
        assert all(size[name] < 1e-12 for name in idle)
        assert all(size[name] > 1e-6 for name in size.keys() - idle)

    def test_every_earlier_layer_predicts_like_a_shallower_head(self):
        deep, maps, canvas = self.build(), self.maps((33, 47)), Canvas((33, 47))
        prediction = deep(maps, canvas, [{}, {}])
        assert len(prediction.auxiliary) == 2
        for count, auxiliary in enumerate(prediction.auxiliary, 1):
            shallow = self.build(num_layers=count)
            shallow.load_state_dict({key: deep.state_dict()[key] for key in shallow.state_dict()})
            expected = shallow(maps, canvas)
            torch.testing.assert_close(auxiliary.class_logits, expected.class_logits)
            torch.testing.assert_close(auxiliary.boxes_cxcywh, expected.boxes_cxcywh)

    def test_auxiliary_predictions_in_training_and_with_targets_leave_the_others_unchanged(self):
        head, maps, canvas = self.build(), self.maps((64, 64)), Canvas((64, 64))
        alone = head(maps, canvas)
        for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
            assert len(prediction.auxiliary) == 2
            torch.testing.assert_close(prediction.boxes_cxcywh, alone.boxes_cxcywh)
            torch.testing.assert_close(prediction.class_logits, alone.class_logits)
        head.auxiliary = False
        assert head(maps, canvas, [{}, {}]).auxiliary is None

    def test_padding_is_not_attended_to(self):
        head, maps = self.build(), self.maps((128, 96))
        mask = torch.ones(2, 128, 96, dtype=torch.bool)
        mask[1, 70:], mask[1, :, 33:] = False, False
        changed = maps.maps[-1].clone()
        changed[1, :, 3:], changed[1, :, :, 2:] = 50.0, -50.0  # 70 x 33 pixels are 3 x 2 positions of stride 32
        after = replace(maps, maps=(*maps.maps[:-1], changed))
        canvas = Canvas((128, 96), mask)
        assert torch.equal(head(maps, canvas).class_logits, head(after, canvas).class_logits)
        assert not torch.allclose(head(maps, Canvas((128, 96))).boxes_cxcywh, head(maps, canvas).boxes_cxcywh)


class TestDETRWithNormBetween(TestDETR):
    options: ClassVar = {**SMALL, "norm_between": True}
    golden = (1.890347, 1.492178, 0.181441, -1.226235)

    def test_every_earlier_layer_predicts_like_a_shallower_head(self):
        """Less the final norm, which it has once already."""
        deep, maps, canvas = self.build(), self.maps((33, 47)), Canvas((33, 47))
        for count, auxiliary in enumerate(deep(maps, canvas, [{}, {}]).auxiliary, 1):
            shallow = self.build(num_layers=count)
            shallow.load_state_dict({key: deep.state_dict()[key] for key in shallow.state_dict()})
            states = []
            shallow.norm.register_forward_hook(lambda module, given, state, kept=states: kept.append(state))
            shallow(maps, canvas)
            torch.testing.assert_close(auxiliary.class_logits, shallow.class_predictor(states[-2]))


def test_needs_the_deepest_level():
    assert DETRHead.needs(None) == Requirement(last=1)


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ContractError, match="num_heads=3 does not divide channels=64"):
        TestDETR().build(num_heads=3)


def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    head = DETRHead(TestDETR().pyramid(), num_classes=3)
    for name, parameter in head.layers.named_parameters():
        if parameter.dim() > 1:
            bound = (6 / sum(parameter.shape)) ** 0.5  # xavier uniform
            assert 0.97 * bound < parameter.abs().max() <= bound, name
