"""Images and maps channels last inside a model: a layout in memory, and nothing else."""

import pytest
import torch

import backbonekit as bk
from tests.assembly.recipes import DINOV2, RESNET, SMALL, SWIN

HEAD = {"neck": {"name": "fpn", "channels": 16}, "head": {"name": "fcn", "num_classes": 3}, "processing": SMALL}


@pytest.mark.parametrize("frozen", [False, True])
def test_maps_of_convolutions_are_channels_last_and_those_of_contiguous_images(frozen):
    model = bk.build_model({"backbone": RESNET, **HEAD}).double()
    if frozen:
        bk.freeze(model, norms=True)
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    given = model(pixels).feature_maps
    for level, plain in zip(given, model.backbone(pixels).maps, strict=True):
        assert level.is_contiguous(memory_format=torch.channels_last)
        assert plain.is_contiguous()
        torch.testing.assert_close(level, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backbone", [RESNET, SWIN, DINOV2], ids=["resnet", "swin", "dinov2"])
def test_the_layout_of_the_image_given_does_not_matter(backbone):
    model = bk.build_model({"backbone": backbone, **HEAD})
    pixels = torch.randn(2, 3, 64, 64)
    predictions = [
        model(one).predictions.logits for one in (pixels, pixels.contiguous(memory_format=torch.channels_last))
    ]
    assert torch.equal(*predictions)


def test_devices_that_are_not_known_to_compute_so_get_the_images_as_they_are():
    model = bk.build_model({"backbone": RESNET, **HEAD}).to("meta")
    for level in model(torch.empty(2, 3, 64, 64, device="meta")).feature_maps:
        assert level.is_contiguous()


def test_kernels_stay_as_they_are_stored():
    model = bk.build_model({"backbone": RESNET, **HEAD})
    model(torch.randn(2, 3, 64, 64)).predictions.logits.sum().backward()
    for parameter in model.parameters():
        assert parameter.is_contiguous()
        assert parameter.grad is None or parameter.grad.is_contiguous()


def test_a_backbone_of_the_hugging_face_classes_returns_contiguous_maps_whatever_its_layout(tmp_path):
    backbone = bk.AutoBackbone.from_config(bk.ResNetConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 8, 8]))
    backbone.to(memory_format=torch.channels_last)
    (level,) = backbone(torch.randn(1, 3, 64, 64)).feature_maps
    assert level.is_contiguous()
    backbone.save_pretrained(tmp_path)
    again = bk.AutoBackbone.from_pretrained(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(backbone.parameters(), again.parameters(), strict=True))
