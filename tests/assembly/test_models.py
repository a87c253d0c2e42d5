"""Composed models of every shape: over a convolutional, a hierarchical and a plain backbone; one head, none, two."""

from typing import ClassVar

import pytest

from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import (
    CLASSIFICATION,
    DINOV2,
    FCN,
    RESNET,
    SMALL,
    SWIN,
    TIMM_CONVNEXT,
    TIMM_RESNET,
    TIMM_VIT,
    maskformer,
)


class MaskFormerTester(ModelTester):
    exempt: ClassVar = {
        "head.layers.*_attention.key.bias": "adds the same to all scores of a query, which softmax does not see",
        # The queries start at zero, so before the first layer all values are the same, whatever attends to what.
        "head.layers.0.self_attention.query.*": "attends over equal values",
        "head.layers.0.self_attention.key.weight": "attends over equal values",
        "head.layers.0.self_attention.value.weight": "times zero",
    }


class TestMaskFormerOnResNet(MaskFormerTester):
    recipe = maskformer(RESNET)
    maps = ((8, 4), (16, 8), (24, 16), (32, 32))
    out_indices = (1, 2, 3, 4)


class TestMaskFormerOnSwin(MaskFormerTester):
    recipe = maskformer(SWIN)
    maps = ((16, 4), (32, 8), (64, 16), (128, 32))
    out_indices = (1, 2, 3, 4)


class TestMaskFormerOnDinov2(MaskFormerTester):
    """A plain transformer: a pyramid is inserted."""

    recipe = maskformer(DINOV2)
    maps = ((32, 14),)
    out_indices = (2,)


@pytest.mark.slow
class TestMaskFormerOnTimmViT(MaskFormerTester):
    recipe = maskformer(TIMM_VIT)
    maps = ((32, 16),)
    out_indices = (1,)


class TestFCN(ModelTester):
    recipe = {
        "backbone": {**TIMM_RESNET, "args": {**TIMM_RESNET["args"], "output_stride": 8}},
        "head": FCN,
        "processing": SMALL,
    }
    maps = ((24, 8), (32, 8))
    out_indices = (3, 4)


class TestClassifier(ModelTester):
    recipe = {"backbone": TIMM_CONVNEXT, "head": {**CLASSIFICATION, "norm": "layer"}, "processing": SMALL}
    maps = ((32, 32),)
    out_indices = (3,)


class TestFeatures(ModelTester):
    recipe = {"backbone": {**TIMM_VIT, "out_indices": [0, -1]}}
    maps = ((32, 16), (32, 16))
    out_indices = (0, 1)
    has_head = False


class TestFeaturesThroughTwoNecks(ModelTester):
    """Without a head the feature maps are those of the last neck."""

    recipe = {
        "backbone": {**RESNET, "out_strides": [8, 16, 32]},
        "neck": [{"name": "channel_mapper", "channels": 64}, {"name": "channel_mapper", "channels": 128}],
    }
    maps = ((128, 8), (128, 16), (128, 32))
    out_indices = (2, 3, 4)
    has_head = False


class TestTwoHeads(ModelTester):
    """Two tasks, each with the maps that it requires; the second with a neck of its own."""

    recipe = {
        "backbone": RESNET,
        "heads": {
            "seg": {"head": FCN, "neck": {"name": "fpn", "channels": 32}},
            "cls": {"head": CLASSIFICATION, "loss_weight": 0.5},
        },
        "processing": SMALL,
    }
    maps = ((24, 16), (32, 32))
    out_indices = (3, 4)
