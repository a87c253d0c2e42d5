"""RT-DETR and D-FINE over a convolutional and a plain backbone."""

from typing import Any, ClassVar

import pytest

from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET

CHANNELS = 16
SETTINGS = {
    "num_classes": 4,
    "num_queries": 7,
    "channels": CHANNELS,
    "num_heads": 2,
    "feedforward_channels": 24,
    "num_layers": 2,
}
VARIFOCAL = {"name": "box_set", "classification": "varifocal", "class_cost": 2.0, "alpha": 0.75}


def real_time(backbone: dict[str, Any], fusion: str, levels: int, **head: Any) -> dict[str, Any]:
    neck = {"name": "hybrid_encoder", "channels": CHANNELS, "num_heads": 2, "feedforward_channels": 24, "num_blocks": 1}
    return {
        "backbone": backbone,
        "neck": {**neck, "num_levels": levels, "fusion": fusion, "expansion": 0.5},
        "head": {**SETTINGS, "num_points": [2] * levels, "num_denoising_queries": 6, **head},
        "processing": {"size": [64, 96]},
    }


CONSTANT = "a constant that the next batch norm takes away"
EXEMPT = {
    "neck.*.projections.[01].norm.bias": CONSTANT,
    "neck.*.layers.0.feedforward_norm.bias": CONSTANT,
    "neck.*.layers.0.self_attention.key.bias": "adds the same to all scores of a position, which softmax does not see",
    "head.layers.*.self_attention.key.bias": "adds the same to all scores of a query, which softmax does not see",
}


class TestRTDETROnResNet(ModelTester):
    exempt: ClassVar = EXEMPT
    recipe = real_time(RESNET, "csp", 3, name="rt_detr", criterion=VARIFOCAL)
    maps = ((16, 8), (24, 16), (32, 32))
    out_indices = (2, 3, 4)


class TestDFINEOnResNet(ModelTester):
    exempt: ClassVar = {
        **EXEMPT,
        "neck.0.laterals.0.norm.bias": CONSTANT,
        "neck.0.downsamples.0.norm.bias": CONSTANT,
    }
    recipe = real_time(RESNET, "elan", 2, name="d_fine", num_bins=6, quality_channels=8)
    maps = ((24, 16), (32, 32))
    out_indices = (3, 4)


@pytest.mark.slow
class TestRTDETROnDinov2(ModelTester):
    """A plain transformer: a pyramid is inserted. Features of queries are learned."""

    exempt: ClassVar = {**EXEMPT, "neck.0.output.*.norm.bias": CONSTANT}
    recipe = real_time(DINOV2, "csp", 3, name="rt_detr", learned_queries=True)
    maps = ((32, 14),)
    out_indices = (2,)
