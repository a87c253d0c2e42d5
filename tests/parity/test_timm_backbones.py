"""Backbones of the timm source against timm's own `features_only`: the same maps under the same numbers."""

import pytest
import timm
import torch

from backbonekit.backbones.timm.blueprint import blueprint
from tests.fixed_weights import randomise_weights

pytestmark = pytest.mark.parity

SWIN = {"embed_dim": 24, "depths": [1, 2, 1], "num_heads": [2, 4, 4], "window_size": 4, "img_size": 64}
VIT = {"embed_dim": 48, "depth": 3, "num_heads": 3, "img_size": 64}


@pytest.mark.parametrize(
    ("name", "args", "indices", "size"),
    [
        ("test_resnet", {}, (0, 2, 4), (97, 64)),
        ("test_resnet", {"output_stride": 8}, (1, 4), (97, 64)),
        ("test_efficientnet", {}, (1, 3), (97, 64)),
        ("test_convnext2", {}, (0, 3), (97, 64)),
        ("test_byobnet", {}, (0, 2), (97, 64)),
        ("test_nfnet", {}, (1, 2), (97, 64)),
        ("regnety_002", {}, (0, 1, 2), (65, 47)),
        ("hrnet_w18_small", {}, (1, 2, 3, 4), (64, 96)),
        ("swin_tiny_patch4_window7_224", SWIN, (0, 2), (64, 64)),
        ("vit_tiny_patch16_224", VIT, (0, 2), (64, 64)),
        ("hiera_tiny_224", {"img_size": 64, "stages": [1, 1, 1, 1]}, (1, 3), (64, 64)),
    ],
)
def test_maps_are_those_of_features_only(name, args, indices, size) -> None:
    source = blueprint(name, config=None, revision=None, in_channels=3, args=args)
    backbone = randomise_weights(source.construct(indices)).eval()
    whole = timm.create_model(name, num_classes=0, **args)
    _, surplus = whole.load_state_dict(
        {key.removeprefix("body."): tensor for key, tensor in backbone.state_dict().items()}, strict=False
    )
    assert not surplus
    oracle = timm.create_model(name, features_only=True, out_indices=indices, **args).eval()
    renamed = {key.replace(".", "_"): tensor for key, tensor in whole.state_dict().items()}
    target = oracle.state_dict()
    # `features_only` rewrites some names; without dots and its own prefix they are the same.
    filled = {key: renamed[key.removeprefix("model.").replace(".", "_")] for key in target}
    oracle.load_state_dict(filled)
    pixel_values = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = oracle(pixel_values)
        given = backbone(pixel_values).maps
    for one, other, level in zip(given, expected, backbone.features.levels, strict=True):
        other = other.permute(0, 3, 1, 2) if other.shape[1] != level.channels else other
        assert torch.equal(one, other)
    assert list(backbone.features.channels) == oracle.feature_info.channels()
    assert list(backbone.features.strides) == oracle.feature_info.reduction()
