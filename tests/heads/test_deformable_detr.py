"""DeformableDETRHead: the head's contract, refinement, proposals, padding."""

from typing import ClassVar

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.deformable_detr.head import DeformableDETRHead
from tests.heads.head_tester import HeadTester

SMALL = {
    "num_classes": 3,
    "num_queries": 5,
    "num_layers": 3,
    "num_heads": 4,
    "num_points": 2,
    "feedforward_channels": 24,
    "dropout": 0.0,
}


class TestDeformableDETR(HeadTester):
    part = DeformableDETRHead
    options: ClassVar = SMALL
    prediction = BoxQueries
    golden = (-0.574419, 0.394969, -0.214787, 0.335682)

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{power}", 16, 2**power) for power in (3, 4, 5, 6)))

    def shapes(self, batch, size):
        return {"class_logits": (batch, 5, 3), "boxes_cxcywh": (batch, 5, 4)}

    def losses(self, prediction):
        layers = (prediction, *(prediction.auxiliary or ()), *([prediction.proposals] if prediction.proposals else ()))
        tensors = [tensor for layer in layers for tensor in (layer.class_logits, layer.boxes_cxcywh)]
        return sum((tensor * torch.randn_like(tensor)).sum() for tensor in tensors)

    def test_gradient_reaches_every_parameter(self):
        head = self.build().double().train()
        maps = self.maps((131, 87))
        maps.maps = tuple(level.double() for level in maps.maps)
        self.losses(head(maps, Canvas((131, 87)), [{}, {}])).backward()
        size = {name: parameter.grad.abs().max().item() for name, parameter in head.named_parameters()}
        idle = {name for name in size if name.endswith("self_attention.key.bias")}
        assert all(size[name] < 1e-12 for name in idle)
        assert all(size[name] > 1e-8 for name in size.keys() - idle)

    def test_every_earlier_layer_predicts_like_a_shallower_head(self):
        deep, maps, canvas = self.build(), self.maps((64, 96)), Canvas((64, 96))
        prediction = deep(maps, canvas, [{}, {}])
        assert len(prediction.auxiliary) == 2
        weights = deep.state_dict()
        for count, auxiliary in enumerate(prediction.auxiliary, 1):
            shallow = self.build(num_layers=count)
            kept = {key: weights[key] for key in shallow.state_dict()}
            last = len(deep.class_predictors) - 1
            for key in kept if shallow.proposals is not None else ():  # the proposals' predictors come last
                if f"_predictors.{count}." in key:
                    kept[key] = weights[key.replace(f"_predictors.{count}.", f"_predictors.{last}.")]
            shallow.load_state_dict(kept)
            expected = shallow(maps, canvas)
            torch.testing.assert_close(auxiliary.class_logits, expected.class_logits)
            torch.testing.assert_close(auxiliary.boxes_cxcywh, expected.boxes_cxcywh)

    def test_auxiliary_predictions_in_training_and_with_targets_leave_the_others_unchanged(self):
        head, maps, canvas = self.build(), self.maps((64, 64)), Canvas((64, 64))
        alone = head(maps, canvas)
        assert alone.proposals is None
        for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
            assert len(prediction.auxiliary) == 2
            assert (prediction.proposals is None) == (head.proposals is None)
            torch.testing.assert_close(prediction.boxes_cxcywh, alone.boxes_cxcywh)
            torch.testing.assert_close(prediction.class_logits, alone.class_logits)
        head.auxiliary = False
        assert head(maps, canvas, [{}, {}]).auxiliary is None

    def test_padding_is_not_read_and_boxes_are_those_of_the_image_alone(self):
        """Exactly equal where the padding ends between positions of every level."""
        head, maps = self.build(), self.maps((256, 192))
        mask = torch.ones(2, 256, 192, dtype=torch.bool)
        mask[1, 128:], mask[1, :, 64:] = False, False
        expected = head(maps, Canvas((256, 192), mask))
        alone = self.maps((128, 64), batch=1)
        alone.maps = tuple(level[1:, :, : level.shape[-2] // 2, : level.shape[-1] // 3].clone() for level in maps.maps)
        for level in maps.maps:
            level[1, :, level.shape[-2] // 2 :], level[1, :, :, level.shape[-1] // 3 :] = 50.0, -50.0
        given = head(maps, Canvas((256, 192), mask))
        assert torch.equal(given.boxes_cxcywh, expected.boxes_cxcywh)
        assert torch.equal(given.class_logits, expected.class_logits)
        by_itself = head(alone, Canvas((128, 64)))
        # At the image's edge a sample reads zero padding in one case and the outside of the map in the other.
        torch.testing.assert_close(by_itself.boxes_cxcywh, given.boxes_cxcywh[1:], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(by_itself.class_logits, given.class_logits[1:], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("real", [(1, 1), (0, 0)])
    def test_an_image_of_one_pixel_or_none_is_finite(self, real):
        head, maps = self.build().train(), self.maps((64, 64))
        mask = torch.ones(2, 64, 64, dtype=torch.bool)
        mask[1] = False
        mask[1, : real[0], : real[1]] = True
        prediction = head(maps, Canvas((64, 64), mask))
        self.losses(prediction).backward()
        assert all(tensor.isfinite().all() for tensor in (prediction.class_logits, prediction.boxes_cxcywh))
        assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


class TestDeformableDETRWithRefinement(TestDeformableDETR):
    options: ClassVar = {**SMALL, "box_refinement": True}
    golden = (-0.480444, 0.349476, -0.219547, 0.284769)


class TestTwoStageDeformableDETR(TestDeformableDETR):
    options: ClassVar = {**SMALL, "box_refinement": True, "two_stage": True}
    golden = (-0.185587, 0.144592, 0.291360, 0.168468)
    canvas_sizes = ((64, 64), (33, 47), (8, 8))

    def shapes(self, batch, size):
        positions = sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in (8, 16, 32, 64))
        return {"class_logits": (batch, min(5, positions), 3), "boxes_cxcywh": (batch, min(5, positions), 4)}

    def test_every_position_proposes_and_the_best_become_queries(self):
        head, maps = self.build(), self.maps((64, 96))
        prediction = head(maps, Canvas((64, 96)), [{}, {}])
        positions = sum(level.shape[-2] * level.shape[-1] for level in maps.maps)
        assert prediction.proposals.class_logits.shape == (2, positions, 3)
        scores = prediction.proposals.class_logits[..., 0]
        best = scores.topk(5, dim=1).indices
        # A head of one layer that corrects nothing predicts the boxes that it started from.
        still = self.build(num_layers=1)
        weights = head.state_dict()
        still.load_state_dict({k: weights[k.replace("_predictors.1.", "_predictors.3.")] for k in still.state_dict()})
        torch.nn.init.zeros_(still.box_predictors[0].layers[-1].weight)
        torch.nn.init.zeros_(still.box_predictors[0].layers[-1].bias)
        expected = prediction.proposals.boxes_cxcywh.gather(1, best[..., None].expand(-1, -1, 4))
        torch.testing.assert_close(still(maps, Canvas((64, 96))).boxes_cxcywh, expected, rtol=1e-3, atol=1e-4)


class TestOneLevelOfDeformableDETR(TestDeformableDETR):
    options: ClassVar = {**SMALL, "num_deepest_levels": 1}
    golden = (-0.698721, 0.603457, -0.223408, 0.600269)


def test_needs_four_strides_or_the_deepest_levels():
    assert DeformableDETRHead.needs(None) == Requirement(strides=(8, 16, 32, 64))
    assert DeformableDETRHead.needs(None, num_deepest_levels=2) == Requirement(last=2)


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ((8, 16), {}, "so 32, 64 is missing.*num_deepest_levels=2"),
        ((8, 16), {"num_deepest_levels": 3}, "num_deepest_levels=3, and it receives 2 levels"),
        ((8, 16, 32, 64), {"two_stage": True}, "The fix: box_refinement=true"),
    ],
)
def test_refuses_what_cannot_be_built(levels, options, message):
    pyramid = FeaturePyramid(tuple(Level(f"c{stride}", 16, stride) for stride in levels))
    with pytest.raises(ContractError, match=message):
        DeformableDETRHead(pyramid, num_classes=3, **options)


def test_refuses_levels_of_several_widths():
    pyramid = FeaturePyramid(tuple(Level(f"c{stride}", stride * 2, stride) for stride in (8, 16, 32, 64)))
    with pytest.raises(ContractError, match=r"receives 16, 32, 64, 128 channels. The fix: neck=\[channel_mapper, def"):
        DeformableDETRHead(pyramid, num_classes=3)


def test_initialisation_is_the_papers():
    head = DeformableDETRHead(TestDeformableDETR().pyramid(), num_classes=3, num_layers=2)
    prediction = head.eval()(TestDeformableDETR().maps((64, 64)), Canvas((64, 64)))
    torch.testing.assert_close(prediction.boxes_cxcywh[..., 2:].mean(), torch.tensor(-2.0).sigmoid())
    assert prediction.class_logits.sigmoid().max() < 0.1
