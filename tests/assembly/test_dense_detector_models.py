"""FCOS and RetinaNet over a convolutional, a hierarchical and a plain backbone."""

from typing import Any

import pytest
import torch.utils._pytree as pytree
from torch import Tensor

from backbonekit.contract.predictions import BoxCandidates
from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET, SMALL, SWIN


def detector(backbone: dict[str, Any], head: str) -> dict[str, Any]:
    return {
        "backbone": backbone,
        "neck": {"name": "fpn", "channels": 64, "num_extra_levels": 2, "extra": "convolution"},
        "head": {"name": head, "num_classes": 4, "num_convolutions": 1},
        "processing": SMALL,
    }


class DenseDetectorTester(ModelTester):
    def leaves(self, output):
        """Without the anchors, which are the same for all images and have no batch."""
        prediction = output.predictions
        assert isinstance(prediction, BoxCandidates)
        parts = [output.feature_maps, prediction.class_logits, prediction.boxes_xyxy, prediction.quality_logits or ()]
        return [leaf for leaf in pytree.tree_leaves(parts) if isinstance(leaf, Tensor)]


class TestFCOSOnResNet(DenseDetectorTester):
    recipe = detector(RESNET, "fcos")
    maps = ((16, 8), (24, 16), (32, 32))
    out_indices = (2, 3, 4)


class TestRetinaNetOnSwin(DenseDetectorTester):
    recipe = detector(SWIN, "retinanet")
    maps = ((32, 8), (64, 16), (128, 32))
    out_indices = (2, 3, 4)


@pytest.mark.slow
class TestFCOSOnDinov2(DenseDetectorTester):
    """A plain transformer: a pyramid is inserted."""

    recipe = detector(DINOV2, "fcos")
    maps = ((32, 14),)
    out_indices = (2,)
