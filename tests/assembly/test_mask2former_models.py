"""Composed Mask2Formers over a convolutional and a plain backbone."""

from typing import ClassVar

import pytest

from tests.assembly.model_tester import ModelTester
from tests.assembly.recipes import DINOV2, RESNET, SMALL
from tests.draws import fix_draws

PIXEL_DECODER = {
    "name": "deformable_pixel_decoder",
    "channels": 64,  # two for each group of the norms, or what comes before them would not matter
    "mask_channels": 16,
    "num_layers": 1,
    "num_heads": 4,
    "num_points": 2,
    "feedforward_channels": 32,
}
MASK2FORMER = {
    "name": "mask2former",
    "num_classes": 4,
    "num_queries": 5,
    "channels": 32,
    "num_layers": 3,
    "num_heads": 4,
    "feedforward_channels": 32,
    "criterion": {"name": "point_mask_set", "num_points": 50},
}


def mask2former(backbone, **changes):
    return {"backbone": backbone, "neck": PIXEL_DECODER, "head": MASK2FORMER, "processing": SMALL, **changes}


class Mask2FormerTester(ModelTester):
    exempt: ClassVar = {
        "head.layers.*_attention.key.bias": "adds the same to all scores of a query, which softmax does not see",
    }

    def test_losses_read_no_padding(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two losses of the same points."""
        fix_draws(monkeypatch)
        super().test_losses_read_no_padding()


class TestMask2FormerOnResNet(Mask2FormerTester):
    recipe = mask2former(RESNET)
    maps = ((8, 4), (16, 8), (24, 16), (32, 32))
    out_indices = (1, 2, 3, 4)


@pytest.mark.slow
class TestMask2FormerOnDinov2(Mask2FormerTester):
    """A plain transformer: a pyramid is inserted."""

    recipe = mask2former(DINOV2)
    maps = ((32, 14),)
    out_indices = (2,)
