"""FCOSCriterion and RetinaNetCriterion: the criterion's contract, the assignment of locations and anchors to boxes."""

import pytest
import torch
import torch.utils._pytree as pytree

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.errors import ContractError
from backbonekit.heads.fcos.head import boxes_at_distances
from backbonekit.heads.fcos.loss import FCOSCriterion, centreness, match_locations
from backbonekit.heads.retinanet.loss import BACKGROUND, IGNORED, RetinaNetCriterion, match_anchors
from backbonekit.losses.dense_box_targets import read_dense_box_targets
from backbonekit.ops.anchors import cell_anchors, decode_deltas, encode_deltas, grid_anchors
from tests.losses.criterion_tester import SIZE, CriterionTester
from tests.losses.random_inputs import noise

SHAPES = ((6, 8), (3, 4))
BOXES = torch.tensor([[2.0, 3, 14, 15], [10, 4, 30, 22], [0, 0, 30, 23]])


class DenseDetectorCriterionTester(CriterionTester):
    keys = ("labels", "boxes")

    def target(self, index):
        count = index % 3 + 1
        return {"labels": torch.arange(count) + index % 2, "boxes": BOXES[:count]}

    def empty_target(self):
        return {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}

    @staticmethod
    def picked(prediction, order):
        # anchors are the same for all images and have no batch
        anchors = [*map(id, prediction.anchors_xyxy)]
        return pytree.tree_map_only(torch.Tensor, lambda one: one if id(one) in anchors else one[order], prediction)

    def test_without_boxes_only_the_class_term_is_positive(self):
        terms = self.run(self.prediction(2), [self.empty_target()] * 2)
        assert terms.pop("class") > 0
        assert all(term == 0 for term in terms.values())

    def test_padding_counts_in_no_term(self):
        prediction, targets = self.prediction(1), [self.empty_target()]
        mask = torch.ones(1, *SIZE, dtype=torch.bool)
        whole = self.run(prediction, targets, mask)
        torch.testing.assert_close(whole, self.run(prediction, targets))
        mask[:, :, 16:] = False
        half = self.run(prediction, targets, mask)
        assert 0 < half["class"] < whole["class"]
        nowhere = self.run(prediction, targets, torch.zeros_like(mask))
        assert nowhere["class"] == 0

    def test_refuses_a_box_without_a_label(self):
        with pytest.raises(ContractError, match=r"targets\[1\]: labels \[2\] and boxes \[3, 4\] do not go together"):
            self.run(
                self.prediction(2), [self.target(0), {"labels": torch.zeros(2, dtype=torch.int64), "boxes": BOXES}]
            )


class TestFCOS(DenseDetectorCriterionTester):
    criterion = FCOSCriterion
    options = {"num_classes": 4}

    def prediction(self, batch):
        num_locations = [height * width for height, width in SHAPES]
        like = torch.zeros(())
        anchors = [grid_anchors(s, SIZE, [(side, side)], like) for s, side in zip(SHAPES, (3.0, 3.5), strict=True)]
        distances = [noise(batch, count, 4, seed=count).abs() for count in num_locations]
        return BoxCandidates(
            tuple(noise(batch, count, 4, seed=count + 1) for count in num_locations),
            tuple(map(boxes_at_distances, distances, anchors)),
            tuple(distances),
            tuple(anchors),
            tuple(noise(batch, count, 1, seed=count + 2) for count in num_locations),
        )

    def leaves(self, prediction):
        # the loss reads decoded boxes, not the distances that they were decoded from
        return [*prediction.class_logits, *prediction.boxes_xyxy, *prediction.quality_logits]

    def test_a_location_is_assigned_to_the_smallest_box_around_it(self):
        prediction = self.prediction(1)
        box_targets = read_dense_box_targets(
            [self.target(2)], Canvas(SIZE), num_classes=4, like=prediction.anchors_xyxy[0]
        )
        matches = match_locations(torch.cat(prediction.anchors_xyxy), box_targets, [48, 12])[0]
        fine, coarse = matches[:48].view(6, 8), matches[48:].view(3, 4)
        # x 8, y 8: near the centre of the first box; it is in the third too, but far from its centre
        assert fine[2, 2] == 0
        # x 20, y 12: near the centre of the second and within reach of the third, which is larger
        assert fine[3, 5] == 1
        assert fine[0, 0] == -1
        # x 16, y 8: the coarse level is assigned distances of more than 4 x 3.5 pixels away, the third box's left side
        assert coarse[1:, 2].tolist() == [2, 2]
        assert (coarse >= 0).sum() == 2

    def test_centreness_is_one_in_the_middle_and_zero_on_the_border(self):
        boxes = torch.tensor([[0.0, 0, 8, 4], [0, 0, 8, 4], [0, 0, 8, 4]])
        anchors = torch.tensor([[3.0, 1, 5, 3], [-1, 1, 1, 3], [1, 1, 3, 3]])
        torch.testing.assert_close(centreness(boxes, anchors), torch.tensor([1.0, 0.0, (2 / 6) ** 0.5]))


class TestRetinaNet(DenseDetectorCriterionTester):
    criterion = RetinaNetCriterion
    options = {"num_classes": 4}

    def prediction(self, batch):
        num_locations = [height * width * 2 for height, width in SHAPES]
        cells = [cell_anchors([side], [0.5, 2.0]) for side in (12.0, 24.0)]
        anchors = [grid_anchors(s, SIZE, cell, torch.zeros(())) for s, cell in zip(SHAPES, cells, strict=True)]
        deltas = [noise(batch, count, 4, seed=count) for count in num_locations]
        return BoxCandidates(
            tuple(noise(batch, count, 4, seed=count + 1) for count in num_locations),
            tuple(map(decode_deltas, deltas, anchors)),
            tuple(deltas),
            tuple(anchors),
        )

    def leaves(self, prediction):
        # the loss reads deltas, not the boxes decoded from them
        return [*prediction.class_logits, *prediction.regression]

    def test_the_best_anchor_of_a_box_is_always_assigned_to_it(self):
        anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10], [0, 0, 5.5, 8], [20, 20, 30, 30]])
        box_targets = read_dense_box_targets(
            [{"labels": torch.tensor([0, 1]), "boxes": torch.tensor([[0.0, 0, 10, 9], [28, 28, 40, 40]])}],
            Canvas((64, 64)),
            num_classes=4,
            like=anchors,
        )
        # overlaps with the first box: 90/100, 54/96, 44/90; with the second only the last anchor, 4/240
        matches = match_anchors(anchors, box_targets, positive=0.5, negative=0.4)[0]
        assert matches.tolist() == [0, 0, IGNORED, 1]
        assert match_anchors(anchors, box_targets, positive=0.95, negative=0.5)[0].tolist() == [
            0,
            IGNORED,
            BACKGROUND,
            1,
        ]


def test_encoding_and_decoding_of_deltas_are_inverse():
    boxes = torch.tensor([[0.0, 0, 10, 20], [5, 6, 7, 9]], dtype=torch.float64)
    other = torch.tensor([[3.0, 1, 30, 8], [5, 5, 9, 9]], dtype=torch.float64)
    torch.testing.assert_close(decode_deltas(encode_deltas(other, boxes), boxes), other)


def test_refuses_a_label_that_is_not_a_class():
    prediction = TestFCOS().prediction(1)
    with pytest.raises(ContractError, match="labels holds the label 4; with num_classes=4 labels run from 0 to 3"):
        FCOSCriterion(num_classes=4)(prediction, [{"labels": torch.tensor([4]), "boxes": BOXES[:1]}], Canvas(SIZE))
