"""MaskFormerHead: the head's contract, its auxiliary predictions, padding."""

from dataclasses import replace
from types import MappingProxyType

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.maskformer.head import MaskFormerHead
from tests.heads.head_tester import HeadTester

SMALL = {
    "num_classes": 3,
    "num_queries": 5,
    "channels": 16,
    "num_layers": 3,
    "num_heads": 4,
    "feedforward_channels": 24,
}


class TestMaskFormer(HeadTester):
    part = MaskFormerHead
    options = SMALL
    prediction = MaskQueries
    golden = (0.775774, 0.620711, -0.305448, -0.621344)

    def pyramid(self):
        extras = MappingProxyType({"mask_features": Level("mask_features", 12, 4)})
        return replace(super().pyramid(), extras=extras)

    def shapes(self, batch, size):
        return {"class_logits": (batch, 5, 4), "mask_logits": (batch, 5, -(-size[0] // 4), -(-size[1] // 4))}

    def test_gradient_reaches_every_parameter(self):
        head = self.build(dropout=0.0).train()
        maps = self.maps((64, 64), grad=True)
        sum((tensor * torch.randn_like(tensor)).sum() for tensor in self.run(head, maps, (64, 64))).backward()
        size = {name: parameter.grad.abs().max().item() for name, parameter in head.named_parameters()}
        # The queries start at zero: how the first layer weighs them cannot matter, nor what it multiplies them
        # with. Nor can, in any softmax, a bias that all keys share. The reference has the same idle parameters.
        first = "layers.0.self_attention."
        idle = {name for name in size if name.startswith((first + "query", first + "key", first + "value.weight"))}
        idle |= {name for name in size if name.endswith("attention.key.bias")}
        assert all(size[name] < 1e-4 for name in idle)
        assert all(size[name] > 1e-4 for name in size.keys() - idle)


class TestMaskFormerAtTheMapsWidth(TestMaskFormer):
    """64 channels enter and 64 are decoded, so nothing projects them."""

    options = {**SMALL, "channels": 64, "activation": "gelu"}
    golden = (0.862234, 1.057010, 0.614123, -0.198441)

    def test_nothing_projects(self):
        assert not any("input_projection" in name for name in self.build().state_dict())


class TestMaskFormerWithAuxiliary(TestMaskFormer):
    options = {**SMALL, "auxiliary": "normalised"}

    def test_every_earlier_layer_predicts_like_a_shallower_head(self):
        deep, maps, canvas = self.build(), self.maps((33, 47)), Canvas((33, 47))
        prediction = deep(maps, canvas, [{}, {}])
        assert len(prediction.auxiliary) == 2
        for count, auxiliary in enumerate(prediction.auxiliary, 1):
            shallow = self.build(num_layers=count, auxiliary="none")
            shallow.load_state_dict({key: deep.state_dict()[key] for key in shallow.state_dict()})
            expected = shallow(maps, canvas)
            torch.testing.assert_close(auxiliary.class_logits, expected.class_logits)
            torch.testing.assert_close(auxiliary.mask_logits, expected.mask_logits)

    def test_auxiliary_predictions_in_training_and_with_targets_leave_the_others_unchanged(self):
        head, maps, canvas = self.build(dropout=0.0), self.maps((64, 64)), Canvas((64, 64))
        alone = head(maps, canvas)
        for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
            assert len(prediction.auxiliary) == 2
            torch.testing.assert_close(prediction.mask_logits, alone.mask_logits)
            torch.testing.assert_close(prediction.class_logits, alone.class_logits)


class TestMaskFormerWithRawAuxiliary(TestMaskFormer):
    options = {**SMALL, "auxiliary": "raw"}

    def test_the_untouched_queries_prediction_first(self):
        head, maps = self.build(), self.maps((64, 64))
        auxiliary = head(maps, Canvas((64, 64)), [{}, {}]).auxiliary
        assert len(auxiliary) == 3
        bias = head.class_predictor.bias.expand(2, 5, 4)
        torch.testing.assert_close(auxiliary[0].class_logits, bias)


class TestMaskFormerWithoutLayers(TestMaskFormer):
    """The initial queries go directly to the predictors; only the predictors have a gradient."""

    options = {**SMALL, "num_layers": 0, "auxiliary": "raw"}
    golden = (0.515533, 0.401595, -0.136477, -0.331758)

    def test_gradient_reaches_every_parameter(self):
        """Without layers neither the query positions nor the map are read."""
        head, maps = self.build().train(), self.maps((64, 64))
        prediction = head(maps, Canvas((64, 64)))
        (prediction.mask_logits.square().sum() + prediction.class_logits.square().sum()).backward()
        idle = {name.partition(".")[0] for name, parameter in head.named_parameters() if parameter.grad is None}
        assert idle == {"queries", "input_projection"}

    def test_nothing_comes_before_the_final_prediction(self):
        assert self.build()(self.maps((64, 64)), Canvas((64, 64)), [{}, {}]).auxiliary is None


def padded(tester, size, real):
    """Maps and canvas of two images, the second of which has `real` pixels; its padding holds noise."""
    mask = torch.ones(2, *size, dtype=torch.bool)
    mask[1] = False
    mask[1, : real[0], : real[1]] = True
    return tester.maps(size), Canvas(size, mask)


def test_padding_of_the_deepest_map_is_not_attended_to():
    tester = TestMaskFormer()
    head = tester.build()
    maps, canvas = padded(tester, (128, 96), (70, 33))
    changed = maps.maps[-1].clone()
    changed[1, :, 3:], changed[1, :, :, 2:] = 50.0, -50.0  # 70 x 33 pixels are 3 x 2 positions of stride 32
    after = replace(maps, maps=(*maps.maps[:-1], changed))
    assert torch.equal(head(maps, canvas).class_logits, head(after, canvas).class_logits)
    assert not torch.allclose(head(maps, Canvas((128, 96))).class_logits, head(maps, canvas).class_logits)


def test_a_padded_image_has_the_positions_of_the_image_alone():
    tester = TestMaskFormer()
    head = tester.build()
    maps, canvas = padded(tester, (128, 96), (64, 32))
    small = FeatureMaps(
        tuple(
            one[1:, :, : 64 // stride, : 32 // stride] for one, stride in zip(maps.maps, (4, 8, 16, 32), strict=True)
        ),
        {"mask_features": maps.extras["mask_features"][1:, :, :16, :8]},
    )
    alone = head(small, Canvas((64, 32)))
    together = head(maps, canvas)
    torch.testing.assert_close(together.class_logits[1:], alone.class_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.mask_logits[1:, :, :16, :8], alone.mask_logits, rtol=1e-4, atol=1e-5)


def test_a_mask_without_padding_changes_nothing():
    tester = TestMaskFormer()
    head, maps, size = tester.build(), tester.maps((64, 96)), (64, 96)
    full = head(maps, Canvas(size, torch.ones(2, *size, dtype=torch.bool)))
    none = head(maps, Canvas(size))
    torch.testing.assert_close(full.class_logits, none.class_logits)
    torch.testing.assert_close(full.mask_logits, none.mask_logits)


@pytest.mark.parametrize("real", [(1, 1), (0, 0)])
def test_an_image_of_one_pixel_or_none_is_finite(real):
    tester = TestMaskFormer()
    head = tester.build().train()
    maps, canvas = padded(tester, (64, 64), real)
    prediction = head(maps, canvas)
    assert prediction.class_logits.isfinite().all()
    assert prediction.mask_logits.isfinite().all()
    (prediction.class_logits.sum() + prediction.mask_logits.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_forward_does_not_synchronise_with_the_device():
    tester = TestMaskFormerWithAuxiliary()
    with FakeTensorMode(allow_non_fake_inputs=False):
        head = tester.part(tester.pyramid(), **tester.options)
        maps = tester.maps((64, 64))
        mask = torch.ones(2, 64, 64, dtype=torch.bool)
        prediction = head(maps, Canvas((64, 64), mask), [{}, {}])
    assert prediction.mask_logits.shape == (2, 5, 16, 16)


def test_needs_the_deepest_level_and_mask_features():
    assert MaskFormerHead.needs(None) == Requirement(last=1, extras=("mask_features",))


def test_without_mask_features_the_error_names_the_neck():
    with pytest.raises(ContractError, match="neck=fpn_pixel_decoder"):
        MaskFormerHead(FeaturePyramid((Level("c5", 64, 32),)), num_classes=3)


@pytest.mark.parametrize(("options", "message"), [({"num_heads": 3}, "num_heads=3 does not divide channels=16")])
def test_refuses_what_cannot_be_split(options, message):
    tester = TestMaskFormer()
    with pytest.raises(ContractError, match=message):
        tester.build(**options)


def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    tester = TestMaskFormer()
    head = MaskFormerHead(tester.pyramid(), num_classes=3, channels=64)
    for name, parameter in head.layers.named_parameters():
        if parameter.dim() > 1:
            bound = (6 / sum(parameter.shape)) ** 0.5  # xavier uniform
            assert 0.97 * bound < parameter.abs().max() <= bound, name
    assert 0.95 < head.queries.weight.std() < 1.05
