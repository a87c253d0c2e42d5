"""Backbones of transformers in bfloat16: no further from the maps in float32 than transformers' own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backbonekit.backbones.hf.model_types import model_types
from tests.parity.hiera_order import hiera_as_in_its_whole_model
from tests.parity.test_hf_backbones import every_index, fitting, load, oracle, oracle_config

pytestmark = pytest.mark.parity

# What is off is 0.2 to 5 per cent of a map, nearly all of it from rounding the weights, which both sides share.
# Measured, ours is 0.91 to 1.05 of theirs: joined matrices and fused kernels round at other steps.
ALLOWED = 1.15

# The first configuration of each family.
KEYS = {
    "beit": "beit",
    "bit": "bit",
    "convnext": "convnext",
    "convnextv2": "convnextv2",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2-with-registers",
    "dinov3_convnext": "dinov3-convnext",
    "dinov3_vit": "dinov3-vit",
    "focalnet": "focalnet",
    "hgnet_v2": "hgnet-v2",
    "hiera": "hiera",
    "maskformer-swin": "maskformer-swin",
    "pvt_v2": "pvt-v2",
    "resnet": "resnet-bottleneck",
    "rt_detr_resnet": "rt-detr-resnet",
    "swin": "swin",
    "swinv2": "swinv2",
    "vitdet": "vitdet",
    "vitpose_backbone": "vitpose",
}


def maps_of(model: nn.Module, pixel_values: Tensor) -> list[Tensor]:
    with torch.no_grad():
        out = model(pixel_values)
    maps = out.maps if hasattr(out, "maps") else out.feature_maps
    return [each.double() if each.ndim == 4 else each.double().transpose(1, 2) for each in maps]


def error(given: list[Tensor], expected: list[Tensor]) -> list[float]:
    """Of each map the root mean square of what is off, relative to that of the map."""
    return [
        float((one.flatten(2) - other.flatten(2)).pow(2).mean().sqrt() / other.pow(2).mean().sqrt())
        for one, other in zip(given, expected, strict=True)
    ]


def test_every_family_is_here() -> None:
    assert set(KEYS) == set(model_types())
    assert all(oracle_config(key).model_type == model_type for model_type, key in KEYS.items())


@pytest.mark.parametrize("model_type", KEYS)
def test_bfloat16_is_as_near_to_float32_as_transformers(model_type: str, tmp_path: Path) -> None:
    with hiera_as_in_its_whole_model():
        theirs = oracle(KEYS[model_type])
    theirs.save_pretrained(tmp_path)
    ours, _, _ = load(tmp_path, every_index(theirs.config))
    pixel_values = torch.randn(4, 3, *fitting(theirs.config, 131, 87)).bfloat16()
    expected = maps_of(theirs, pixel_values.float())
    given = error(maps_of(ours.bfloat16(), pixel_values), expected)
    reference = error(maps_of(theirs.bfloat16(), pixel_values), expected)
    for one, other in zip(given, reference, strict=True):
        assert one <= ALLOWED * other + 1e-6, (given, reference)
