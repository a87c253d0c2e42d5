"""FCOSHead and RetinaNetHead: the heads' contract, where their boxes are, what they refuse."""

from math import ceil
from typing import ClassVar

import pytest
import torch
import torch.utils._pytree as pytree

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxCandidates
from backbonekit.errors import ContractError
from backbonekit.heads.fcos.head import FCOSHead
from backbonekit.heads.retinanet.head import RetinaNetHead
from tests.heads.head_tester import HeadTester

STRIDES = (8, 16, 32)


class DenseDetectorTester(HeadTester):
    prediction = BoxCandidates
    anchors: ClassVar[int]
    has_quality: ClassVar[bool]

    def pyramid(self):
        return FeaturePyramid(tuple(Level(f"p{power}", 8, 2**power) for power in (3, 4, 5)))

    def call(self, part, maps, canvas):
        prediction = part(maps, canvas, None)
        # anchors are the same for all images and have no batch
        return pytree.tree_leaves([prediction.class_logits, prediction.boxes_xyxy, prediction.quality_logits or ()])

    def shapes(self, batch, size):
        positions = [ceil(size[0] / stride) * ceil(size[1] / stride) * self.anchors for stride in STRIDES]
        values = {"class_logits": 5, "boxes_xyxy": 4, "regression": 4}
        shapes = {name: tuple((batch, count, value) for count in positions) for name, value in values.items()}
        shapes["anchors_xyxy"] = tuple((count, 4) for count in positions)
        if self.has_quality:
            shapes["quality_logits"] = tuple((batch, count, 1) for count in positions)
        return shapes

    def test_levels_of_different_widths_are_refused(self):
        features = FeaturePyramid((Level("p3", 8, 8), Level("p4", 16, 16), Level("p5", 8, 32)))
        with pytest.raises(
            ContractError, match=r"levels of one width and receives 8, 16, 8 channels. The fix: neck=fpn"
        ):
            self.part(features, **self.options)

    def test_before_training_every_class_has_the_prior(self):
        head = self.part(self.pyramid(), num_classes=5, prior=0.2, strides=STRIDES)
        with torch.no_grad():
            scores = head(self.maps((64, 64)), Canvas((64, 64))).class_logits[0].sigmoid()
        assert (scores - 0.2).abs().max() < 0.05

    def test_anchors_step_by_whole_pixels_of_the_canvas(self):
        prediction = self.build()(self.maps((64, 96)), Canvas((64, 96)))
        for anchors, stride in zip(prediction.anchors_xyxy, STRIDES, strict=True):
            centres = (anchors[:, :2] + anchors[:, 2:]).view(64 // stride, 96 // stride, self.anchors, 2) / 2
            assert centres[0, 0].abs().max() == 0
            assert torch.equal(centres[1, 2, 0], torch.tensor([2.0 * stride, stride]))


class TestFCOS(DenseDetectorTester):
    part = FCOSHead
    options = {"num_classes": 5, "num_convolutions": 2, "strides": STRIDES}
    anchors = 1
    has_quality = True
    golden = (0.088881, 0.613239, -0.076252, -1.309860)

    def test_a_distance_of_one_is_a_side_of_the_anchor(self):
        head = self.build()
        with torch.no_grad():
            head.box_predictor.weight.zero_()
            head.box_predictor.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
            prediction = head(self.maps((64, 64)), Canvas((64, 64)))
        for boxes, stride in zip(prediction.boxes_xyxy, STRIDES, strict=True):
            # the location in row 1, column 1: left, top, right, bottom
            distances = boxes[0].view(64 // stride, 64 // stride, 4)[1, 1] / stride
            assert torch.equal(distances, torch.tensor([1.0, 0.0, 3.0, 4.0]))


class TestRetinaNet(DenseDetectorTester):
    part = RetinaNetHead
    options = {"num_classes": 5, "num_convolutions": 2, "strides": STRIDES}
    anchors = 9
    has_quality = False
    golden = (0.095242, -1.166119, -0.235207, 1.721750)

    def test_without_a_correction_boxes_are_the_anchors(self):
        head = self.build()
        with torch.no_grad():
            head.box_predictor.weight.zero_()
            head.box_predictor.bias.zero_()
            prediction = head(self.maps((64, 64)), Canvas((64, 64)))
        for boxes, anchors in zip(prediction.boxes_xyxy, prediction.anchors_xyxy, strict=True):
            assert torch.equal(boxes[0], anchors)

    def test_no_aspect_ratio_is_refused(self):
        with pytest.raises(ContractError, match="aspect_ratios is empty"):
            RetinaNetHead(self.pyramid(), num_classes=5, aspect_ratios=(), strides=STRIDES)
