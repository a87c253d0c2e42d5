"""Attention by cosines: timm's numbers in float32, and finite in float16, where a key of the padding has no length."""

import copy

import pytest
import timm
import torch

from backbonekit.backbones.cosine_attention import CosineWindowAttention, CosineWindowAttentionCr, finite_in_float16
from tests.fixed_weights import randomise_weights

SMALL = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "num_classes": 0, "window_size": 4}
MODELS = {
    "swinv2_tiny_window8_256": ({**SMALL, "img_size": 64, "strict_img_size": False}, (52, 72), CosineWindowAttention),
    "swinv2_cr_tiny_ns_224": ({**SMALL, "img_size": (48, 80)}, (48, 80), CosineWindowAttentionCr),
}


@pytest.mark.parametrize("name", MODELS)
def test_timms_numbers_in_float32_and_near_in_float16(name):
    arguments, size, kind = MODELS[name]
    theirs = timm.create_model(name, **arguments).eval()
    randomise_weights(theirs)
    ours = finite_in_float16(copy.deepcopy(theirs))
    assert any(type(module) is kind for module in ours.modules())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    pixel_values = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(pixel_values)
        assert torch.equal(ours(pixel_values), expected)
        with torch.autocast("cpu", torch.float16):
            cast = ours(pixel_values)
        half = copy.deepcopy(ours).half()(pixel_values.half())
    for given in (cast, half):
        assert given.isfinite().all()
        # Measured: 0.001 and less.
        assert (given.float() - expected).norm() < 0.01 * expected.norm()


def test_a_key_of_zeros_is_what_float16_has_no_length_for():
    arguments, size, _ = MODELS["swinv2_tiny_window8_256"]
    plain = timm.create_model("swinv2_tiny_window8_256", **arguments).eval()
    pixel_values = torch.randn(1, 3, *size)
    with torch.no_grad():
        assert not plain.half()(pixel_values.half()).isfinite().all()
        assert finite_in_float16(plain)(pixel_values.half()).isfinite().all()
