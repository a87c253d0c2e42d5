"""RT-DETR's and D-FINE's heads: the head's contract, initial queries, denoising queries."""

from typing import ClassVar

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.heads.d_fine.head import DFINEHead
from backbonekit.heads.rt_detr.head import RTDETRHead
from tests.heads.head_tester import HeadTester

SMALL = {
    "num_classes": 4,
    "num_queries": 7,
    "channels": 16,
    "num_heads": 2,
    "feedforward_channels": 24,
    "num_layers": 2,
}
SIZE = (64, 96)


def ground_truth(count, labels=(0, 3, 1, 2)):
    boxes = torch.tensor([[4.0, 8, 40, 30], [10, 10, 90, 60], [50, 0, 60, 20], [0, 0, 96, 64]])
    return {"labels": torch.tensor(labels[:count], dtype=torch.long), "boxes": boxes[:count]}


class QueryHeadTester(HeadTester):
    prediction = BoxQueries
    # The predictions of earlier layers are for training.
    unheard: ClassVar[tuple[str, ...]]

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{stride}", 16, stride) for stride in (8, 16, 32)))

    def shapes(self, batch, size):
        positions = sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in (8, 16, 32)[3 - self.levels :])
        queries = min(self.options["num_queries"], positions)
        return {"class_logits": (batch, queries, 4), "boxes_cxcywh": (batch, queries, 4)}

    @property
    def levels(self):
        return len(self.options["num_points"])

    def test_gradient_reaches_every_parameter(self) -> None:
        """In training, where every layer predicts."""
        head = self.build().double().train()
        maps = self.maps(SIZE, noise=lambda *shape: torch.randn(*shape, dtype=torch.float64))
        prediction = head(maps, Canvas(SIZE), [ground_truth(2), ground_truth(3)])
        layers = [prediction, *prediction.auxiliary, prediction.proposals, *prediction.denoising.layers]
        sum(
            (part * torch.randn_like(part)).sum() for one in layers for part in (one.class_logits, one.boxes_cxcywh)
        ).backward()
        idle = {name for name, one in head.named_parameters() if one.grad is None or one.grad.abs().max() < 1e-12}
        assert all(name.endswith("self_attention.key.bias") for name in idle), idle

    def test_boxes_lie_in_the_image(self):
        head = self.build()
        boxes = head(self.maps(SIZE), Canvas(SIZE), None).boxes_cxcywh
        assert boxes.isfinite().all()
        assert (boxes[..., 2:] > 0).all()

    def test_no_denoising_outside_training(self):
        head = self.build()
        assert set(head(self.maps(SIZE), Canvas(SIZE), None)) == {"class_logits", "boxes_cxcywh"}
        with_targets = head(self.maps(SIZE), Canvas(SIZE), [ground_truth(1), ground_truth(0)])
        assert "denoising" not in with_targets
        assert with_targets.proposals is not None

    def test_denoising_queries_change_no_other_prediction(self):
        """Other queries cannot attend to the noisy copies of the ground truth."""
        head, maps = self.build().train(), self.maps(SIZE)
        for projection in head.start.projections:
            projection.eval()
        predictions = [
            head(maps, Canvas(SIZE), [ground_truth(one), ground_truth(other)])
            for one, other in ((0, 0), (2, 4), (2, 4))
        ]
        for prediction in predictions[1:]:
            torch.testing.assert_close(prediction.class_logits, predictions[0].class_logits, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(prediction.boxes_cxcywh, predictions[0].boxes_cxcywh, rtol=1e-4, atol=1e-5)
        one, other = (prediction.denoising.layers[-1].boxes_cxcywh for prediction in predictions[1:])
        assert not torch.equal(one, other)

    def test_denoising_queries_have_a_target_and_a_sign(self):
        denoising = self.build().train()(self.maps(SIZE), Canvas(SIZE), [ground_truth(2), {}]).denoising
        assert denoising.target_index[0].tolist() == [0, 1] * 6
        assert denoising.is_positive[0].tolist() == [True, True, False, False] * 3
        assert (denoising.target_index[1] == -1).all()
        assert all(layer.class_logits.shape == (2, 12, 4) for layer in denoising.layers)

    def test_without_a_box_there_are_no_denoising_queries_but_every_gradient(self):
        head = self.build().train()
        prediction = head(self.maps(SIZE), Canvas(SIZE), [ground_truth(0), {}])
        assert prediction.denoising.layers[-1].class_logits.shape == (2, 0, 4)
        prediction.class_logits.sum().backward()
        assert head.start.label_embedding.weight.grad is not None

    def test_without_denoising_there_is_no_embedding(self):
        head = self.build(num_denoising_queries=0).train()
        assert head.start.label_embedding is None
        assert "denoising" not in head(self.maps(SIZE), Canvas(SIZE), [ground_truth(2), ground_truth(1)])

    def test_a_label_that_is_no_class_is_refused(self):
        head = self.build().train()
        with pytest.raises(ContractError, match="labels holds the label 4; with num_classes=4 labels run from 0 to 3"):
            head(self.maps(SIZE), Canvas(SIZE), [ground_truth(2, labels=(0, 4)), ground_truth(1)])

    def test_padding_is_neither_selected_nor_attended_to(self):
        head, maps = self.build(), self.maps(SIZE, batch=1)
        mask = torch.ones(1, *SIZE, dtype=torch.bool)
        mask[:, :, 64:] = False
        expected = head(maps, Canvas(SIZE, mask), None)
        for one in maps.maps:
            one[..., -(-one.shape[-1] * 2 // 3) :] += 5
        given = head(maps, Canvas(SIZE, mask), None)
        torch.testing.assert_close(given.class_logits, expected.class_logits)
        torch.testing.assert_close(given.boxes_cxcywh, expected.boxes_cxcywh)

    def test_boxes_are_relative_to_the_image_without_its_padding(self):
        """Predicted boxes are scaled by the size of the canvas over the size of the image without its padding."""
        head, maps = self.build(), self.maps(SIZE, batch=1)
        mask = torch.ones(1, *SIZE, dtype=torch.bool)
        mask[:, 48:, 64:] = False
        whole = head(maps, Canvas(SIZE, torch.ones_like(mask)), None).boxes_cxcywh
        torch.testing.assert_close(whole, head(maps, Canvas(SIZE), None).boxes_cxcywh)
        start = head.start(maps, Canvas(SIZE, mask[:, :, :]), None)
        torch.testing.assert_close(start.box_scale, torch.ones(1, 1, 4))
        mask[:, :, 64:] = False
        start = head.start(maps, Canvas(SIZE, mask), None)
        torch.testing.assert_close(start.box_scale, torch.tensor([[[1.5, 1, 1.5, 1]]]))

    def test_learned_queries_have_features_of_their_own(self):
        head = self.build(learned_queries=True)
        start = head.start(self.maps(SIZE), Canvas(SIZE), None)
        torch.testing.assert_close(start.queries, head.start.learned.weight[None].expand(2, -1, -1))

    def test_fewer_levels_than_numbers_of_points_are_refused(self):
        with pytest.raises(
            ContractError,
            match=r"num_points has 4 numbers, one for each level, but the features have 3 levels. The fix",
        ):
            self.build(num_points=(1, 1, 1, 1))

    def test_as_many_levels_as_numbers_of_points(self):
        assert self.part.needs(None, num_points=(4, 4)) == Requirement(strides=(16, 32))


class TestRTDETR(QueryHeadTester):
    part = RTDETRHead
    options: ClassVar[dict] = {**SMALL, "num_points": (2, 2, 2), "num_denoising_queries": 6}
    golden = (-1.047449, -1.027794, -1.046143, 0.601395)

    def test_offsets_of_nearest_sampling_require_no_gradient(self):
        head = self.build(sampling="nearest")
        still = {name for name, one in head.named_parameters() if not one.requires_grad}
        assert still == {f"layers.{i}.cross_attention.offsets.{kind}" for i in (0, 1) for kind in ("weight", "bias")}


class TestDFINE(QueryHeadTester):
    part = DFINEHead
    options: ClassVar[dict] = {
        **SMALL,
        "num_points": (1, 3),
        "num_denoising_queries": 6,
        "num_bins": 6,
        "quality_channels": 8,
    }
    golden = (-1.078836, -0.657355, -0.462588, -0.063474)

    def test_only_predictions_of_layers_have_distributions(self):
        prediction = self.build().train()(self.maps(SIZE), Canvas(SIZE), [ground_truth(2), ground_truth(1)])
        first, second = prediction.auxiliary
        assert first.edge_logits is None
        assert second.edge_logits.shape == prediction.edge_logits.shape == (2, 7, 4, 7)
        assert torch.equal(first.boxes_cxcywh, prediction.reference_boxes)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_bins": 7}, "num_bins=7 must be even.*num_bins=8"),
            ({"num_quality_bins": 9}, "num_quality_bins=9, but an edge has 7"),
        ],
    )
    def test_invalid_bins_are_refused(self, options, message):
        with pytest.raises(ContractError, match=message):
            self.build(**options)
