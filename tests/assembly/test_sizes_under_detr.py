"""Backbones of timm that take few sizes, under a small DETR: images of any size work through the processor; one that
nobody prepared works, or is refused with the fix."""

import pytest
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.errors import ContractError

LAYER = {"num_layers": 1, "num_heads": 2, "feedforward_channels": 16}
DETR = {
    "neck": {
        "name": "transformer_encoder",
        "num_layers": 1,
        "channels": 16,
        "num_heads": 2,
        "feedforward_channels": 16,
    },
    "head": {
        "name": "detr",
        "num_classes": 3,
        "num_queries": 4,
        "num_layers": 1,
        "num_heads": 2,
        "feedforward_channels": 16,
    },
    "processing": {"shortest_edge": 800, "longest_edge": 1333},
}
NAMES = (
    "halonet26t",
    "sehalonet33ts",
    "bat_resnext26ts",
    "lambda_resnet26t",
    "dla34",
    "sam2_hiera_tiny",
    "hieradet_small",
    "naflexvit_base_patch16_gap",
    "vitamin_small_224",
    "csatv2",
    "mvitv2_tiny",
)
QUICK = ("bat_resnext26ts", "lambda_resnet26t", "dla34", "sam2_hiera_tiny", "csatv2", "mvitv2_tiny")
SMALL, *LARGE = (130, 190), (640, 480), (800, 1333)  # (height, width)


def check(model: bk.ComposedModel, size: tuple[int, int]) -> None:
    """An image of this size as it is, then through the processor."""
    try:
        with torch.inference_mode():
            boxes, refused = model(torch.randn(1, 3, *size)).predictions.boxes_cxcywh, ""
    except ContractError as error:
        boxes, refused = None, str(error)
    assert "The fix: processing.size=" in refused or torch.isfinite(boxes).all()
    assert model.predict([Image.new("RGB", size[::-1])])


@pytest.mark.parametrize("name", QUICK)
def test_a_small_image(name):
    model = bk.build_model({"backbone": f"timm/{name}", **DETR}, ["processing.shortest_edge=97"])
    check(model, SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_images_as_large_as_a_detectors(name):
    model = bk.build_model({"backbone": f"timm/{name}", **DETR})
    for size in (SMALL, *LARGE):
        check(model, size)
