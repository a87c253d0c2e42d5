"""Mask2FormerHead: the head's contract, masked attention, auxiliary predictions, padding."""

from dataclasses import replace
from types import MappingProxyType

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import MaskQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.mask2former.head import Mask2FormerHead
from tests.heads.head_tester import HeadTester

SMALL = {
    "num_classes": 3,
    "num_queries": 5,
    "channels": 16,
    "num_layers": 4,
    "num_heads": 4,
    "feedforward_channels": 24,
}


class TestMask2Former(HeadTester):
    part = Mask2FormerHead
    options = SMALL
    prediction = MaskQueries
    golden = (0.336201, 0.452333, -0.200958, -0.392620)

    def pyramid(self):
        extras = MappingProxyType({"mask_features": Level("mask_features", 12, 4)})
        return replace(super().pyramid(), extras=extras)

    def shapes(self, batch, size):
        return {"class_logits": (batch, 5, 4), "mask_logits": (batch, 5, -(-size[0] // 4), -(-size[1] // 4))}

    def test_gradient_reaches_every_parameter(self):
        head = self.build().train()
        maps = self.maps((64, 64), grad=True)
        sum((tensor * torch.randn_like(tensor)).sum() for tensor in self.run(head, maps, (64, 64))).backward()
        # A bias that all keys share does not change a softmax.
        idle = [
            name
            for name, parameter in head.named_parameters()
            if parameter.grad.abs().max() < 1e-4 and not name.endswith("attention.key.bias")
        ]
        assert not idle


class TestMask2FormerAtTheMapsWidth(TestMask2Former):
    """All levels have the decoder's width and are still projected; the layers attend to two of them in turn."""

    options = {**SMALL, "project": True, "num_levels": 2, "activation": "gelu"}
    golden = (0.321988, 0.496856, -0.217501, -0.440022)

    def pyramid(self):
        extras = MappingProxyType({"mask_features": Level("mask_features", 12, 4)})
        return FeaturePyramid((Level("p3", 16, 8), Level("p4", 16, 16)), extras)

    def test_without_project_there_is_no_projection(self):
        assert any("projections" in name for name in self.build().state_dict())
        assert not any("projections" in name for name in self.build(project=False).state_dict())


class TestMask2FormerWithoutLayers(TestMask2Former):
    """The queries' features go straight to the predictors."""

    options = {**SMALL, "num_layers": 0}
    golden = (-1.492707, -2.008798, -0.379355, 1.200335)

    def test_gradient_reaches_every_parameter(self):
        """Without layers no query attends to the maps."""
        head, maps = self.build().train(), self.maps((64, 64))
        prediction = head(maps, Canvas((64, 64)))
        assert prediction.auxiliary is None
        (prediction.mask_logits.square().sum() + prediction.class_logits.square().sum()).backward()
        idle = {name.partition(".")[0] for name, parameter in head.named_parameters() if parameter.grad is None}
        assert idle == {"query_positions", "level_embedding", "projections"}


def test_every_earlier_prediction_is_that_of_a_shallower_head():
    tester = TestMask2Former()
    deep, maps, canvas = tester.build(), tester.maps((33, 47)), Canvas((33, 47))
    prediction = deep(maps, canvas, [{}, {}])
    assert len(prediction.auxiliary) == 4
    for layers, auxiliary in enumerate(prediction.auxiliary):
        shallow = tester.build(num_layers=layers)
        shallow.load_state_dict({key: deep.state_dict()[key] for key in shallow.state_dict()})
        expected = shallow(maps, canvas)
        torch.testing.assert_close(auxiliary.class_logits, expected.class_logits)
        torch.testing.assert_close(auxiliary.mask_logits, expected.mask_logits)


def test_auxiliary_predictions_in_training_and_with_targets_leave_the_others_unchanged():
    tester = TestMask2Former()
    head, maps, canvas = tester.build(), tester.maps((64, 64)), Canvas((64, 64))
    alone = head(maps, canvas)
    for prediction in (head(maps, canvas, [{}, {}]), head.train()(maps, canvas)):
        assert len(prediction.auxiliary) == 4
        torch.testing.assert_close(prediction.mask_logits, alone.mask_logits)
        torch.testing.assert_close(prediction.class_logits, alone.class_logits)
    assert tester.build(auxiliary=False).train()(maps, canvas).auxiliary is None


def test_levels_are_attended_to_from_coarse_to_fine_in_turn():
    tester = TestMask2Former()
    maps, canvas = tester.maps((64, 64)), Canvas((64, 64))
    for layers, seen in ((0, set()), (1, {3}), (2, {2, 3}), (3, {1, 2, 3}), (4, {1, 2, 3})):
        head = tester.build(num_layers=layers)
        before = head(maps, canvas).class_logits
        moved = set()
        for index in range(4):
            changed = [one + torch.randn_like(one) if at == index else one for at, one in enumerate(maps.maps)]
            after = head(replace(maps, maps=tuple(changed)), canvas).class_logits
            moved |= {index} if not torch.allclose(before, after) else set()
        assert moved == seen


def with_masks(head, maps, signs):
    """Mask features and an embedder that make every query's mask the positions where `signs` is positive."""
    for layer in head.mask_embedder.layers:
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.ones_(head.mask_embedder.layers[-1].bias)
    features = signs[:, None].expand(-1, 12, -1, -1) * torch.ones(())
    return replace(maps, extras={"mask_features": features})


def test_queries_attend_only_inside_their_mask():
    tester = TestMask2Former()
    head = tester.build(num_layers=1)
    signs = torch.full((2, 16, 24), -1.0)
    signs[:, :8, :8] = 1.0  # on the coarsest map of 2 x 3 positions, the first position
    maps = with_masks(head, tester.maps((64, 96)), signs)
    before = head(maps, Canvas((64, 96))).class_logits
    inside, outside = maps.maps[-1].clone(), maps.maps[-1].clone()
    inside[:, :, 0, 0] += 1.0
    outside[:, :, 1:] += 1.0
    outside[:, :, :, 1:] += 1.0
    assert torch.equal(before, head(replace(maps, maps=(*maps.maps[:-1], outside)), Canvas((64, 96))).class_logits)
    assert not torch.allclose(
        before, head(replace(maps, maps=(*maps.maps[:-1], inside)), Canvas((64, 96))).class_logits
    )


def test_queries_with_an_empty_mask_attend_everywhere():
    tester = TestMask2Former()
    head = tester.build(num_layers=1)
    given = tester.maps((64, 96))
    nowhere = with_masks(head, given, torch.full((2, 16, 24), -1.0))
    everywhere = with_masks(head, given, torch.full((2, 16, 24), 1.0))
    canvas = Canvas((64, 96))
    torch.testing.assert_close(head(nowhere, canvas).class_logits, head(everywhere, canvas).class_logits)


def padded(size, real):
    """A canvas of two images, the second of which has `real` pixels."""
    mask = torch.ones(2, *size, dtype=torch.bool)
    mask[1] = False
    mask[1, : real[0], : real[1]] = True
    return Canvas(size, mask)


def test_padding_of_the_levels_is_not_attended_to():
    tester = TestMask2Former()
    head, canvas = tester.build(), padded((128, 96), (64, 32))
    maps = tester.maps((128, 96))
    changed = [one.clone() for one in maps.maps]
    for one in changed:
        real = canvas.mask_at(one.shape[-2], one.shape[-1])[:, None]
        one.copy_(torch.where(real, one, torch.full_like(one, 30.0)))
    after = head(replace(maps, maps=tuple(changed)), canvas)
    assert torch.equal(head(maps, canvas).class_logits, after.class_logits)
    assert not torch.allclose(head(maps, Canvas((128, 96))).class_logits, after.class_logits)


def test_a_query_whose_mask_is_all_padding_attends_to_the_image():
    tester = TestMask2Former()
    head, canvas = tester.build(num_layers=1), padded((64, 96), (64, 32))
    signs = torch.full((2, 16, 24), -1.0)
    signs[:, :, 12:] = 1.0
    given = tester.maps((64, 96))
    in_padding = head(with_masks(head, given, signs), canvas).class_logits
    everywhere = head(with_masks(head, given, torch.ones(2, 16, 24)), canvas).class_logits
    torch.testing.assert_close(in_padding[1], everywhere[1])
    assert not torch.allclose(in_padding[0], everywhere[0])


def test_a_mask_without_padding_changes_nothing():
    tester = TestMask2Former()
    head, maps, size = tester.build(), tester.maps((64, 96)), (64, 96)
    full = head(maps, Canvas(size, torch.ones(2, *size, dtype=torch.bool)))
    none = head(maps, Canvas(size))
    torch.testing.assert_close(full.class_logits, none.class_logits)
    torch.testing.assert_close(full.mask_logits, none.mask_logits)


@pytest.mark.parametrize("real", [(1, 1), (0, 0)])
def test_an_image_of_one_pixel_or_none_is_finite(real):
    tester = TestMask2Former()
    head = tester.build().train()
    prediction = head(tester.maps((64, 64)), padded((64, 64), real))
    assert prediction.class_logits.isfinite().all()
    (prediction.class_logits.sum() + prediction.mask_logits.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_forward_does_not_synchronise_with_the_device():
    tester = TestMask2Former()
    with FakeTensorMode(allow_non_fake_inputs=False):
        head = tester.part(tester.pyramid(), **tester.options)
        mask = torch.ones(2, 64, 64, dtype=torch.bool)
        prediction = head(tester.maps((64, 64)), Canvas((64, 64), mask), [{}, {}])
    assert prediction.mask_logits.shape == (2, 5, 16, 16)


def test_needs_the_deepest_levels_and_mask_features():
    assert Mask2FormerHead.needs(None) == Requirement(last=3, extras=("mask_features",))
    assert Mask2FormerHead.needs(None, num_levels=1).last == 1


@pytest.mark.parametrize(
    ("extras", "options", "message"),
    [
        ({}, {}, "neck=deformable_pixel_decoder"),
        (
            {"mask_features": Level("mask_features", 8, 4)},
            {},
            r"num_levels=3, but it receives only 1.*head\.num_levels=1",
        ),
        (
            {"mask_features": Level("mask_features", 8, 4)},
            {"num_levels": 1, "num_heads": 3},
            "num_heads=3 does not divide",
        ),
    ],
)
def test_refuses_what_it_cannot_decode(extras, options, message):
    with pytest.raises(ContractError, match=message):
        Mask2FormerHead(FeaturePyramid((Level("c5", 64, 32),), extras), num_classes=3, **options)


def test_initialisation_is_the_papers():
    torch.manual_seed(0)
    head = Mask2FormerHead(TestMask2Former().pyramid(), num_classes=3, channels=64)
    for name, parameter in head.layers.named_parameters():
        if parameter.dim() > 1:
            bound = (6 / sum(parameter.shape)) ** 0.5  # xavier uniform
            assert 0.97 * bound < parameter.abs().max() <= bound, name
    for embedding in (head.query_features, head.query_positions):
        assert 0.95 < embedding.weight.std() < 1.05
