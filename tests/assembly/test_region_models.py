"""Faster R-CNN and Mask R-CNN over a convolutional, a hierarchical and a plain backbone."""

from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor

from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET, SMALL, SWIN


def detector(backbone: dict[str, Any], head: str) -> dict[str, Any]:
    return {
        "backbone": backbone,
        "neck": {"name": "fpn", "channels": 16, "num_extra_levels": 1},
        "head": {
            "name": head,
            "num_classes": 4,
            "feedforward_channels": 32,
            "num_proposals": 20,
            "num_proposals_in_training": 30,
            "score_threshold": 0.01,
        },
        "processing": SMALL,
    }


class RegionTester(ModelTester):
    data_dependent = "how many regions there are depends on the image, and torchvision counts them on the host"

    def leaves(self, output):
        """The whole of an image's detections side by side: how many there are differs."""
        prediction = output.predictions
        parts = [
            output.feature_maps,
            prediction.boxes_xyxy,
            prediction.scores,
            prediction.labels,
            prediction.mask_probabilities or (),
        ]
        return [leaf for leaf in pytree.tree_leaves(parts) if isinstance(leaf, Tensor)]

    def test_prediction_does_not_depend_on_batch_mates(self) -> None:
        model, pixel_values = self.build(), self.images(batch=3)
        mask = torch.ones(3, *self.size, dtype=torch.bool)
        mask[0, 40:], mask[1, :, 50:] = False, False
        with torch.no_grad():
            alone, together = model(pixel_values[:1], mask[:1]).predictions, model(pixel_values, mask).predictions
        assert len(alone.scores[0]) > 0
        for name in alone:
            torch.testing.assert_close(together[name][0], alone[name][0], rtol=1e-4, atol=1e-4)
        assert (alone.boxes_xyxy[0][:, 3] <= 40).all(), "no box reaches into the padding"


class TestFasterRCNNOnResNet(RegionTester):
    recipe = detector(RESNET, "faster_rcnn")
    maps = ((8, 4), (16, 8), (24, 16), (32, 32))
    out_indices = (1, 2, 3, 4)


class TestMaskRCNNOnSwin(RegionTester):
    recipe = detector(SWIN, "mask_rcnn")
    maps = ((16, 4), (32, 8), (64, 16), (128, 32))
    out_indices = (1, 2, 3, 4)


@pytest.mark.slow
class TestMaskRCNNOnDinov2(RegionTester):
    """A plain transformer: a pyramid is inserted."""

    recipe = detector(DINOV2, "mask_rcnn")
    maps = ((32, 14),)
    out_indices = (2,)
