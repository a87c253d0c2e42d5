"""Images prepared as timm evaluates the weights of a tag: its size, crop, resampling and statistics."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from timm.models import get_arch_pretrained_cfgs

import backbonekit
from backbonekit.backbones.timm.names import identify, processing_of
from backbonekit.errors import StorageError
from backbonekit.hf_models import AutoImageProcessor
from backbonekit.image_processing.processor import ImageProcessor

pytestmark = pytest.mark.parity

# Sizes other than their architecture's, each way to cut, each way to resample, statistics of their own.
TAGS = [
    "resnet50.a1_in1k",
    "resnet50.tv_in1k",
    "convnext_tiny.fb_in22k_ft_in1k",
    "convnext_tiny.fb_in22k_ft_in1k_384",
    "convnext_base.clip_laion2b_augreg_ft_in12k_in1k_384",
    "efficientnet_b0.ra_in1k",
    "tf_efficientnet_b0.in1k",
    "vit_base_patch16_clip_224.openai",
    "vit_base_patch16_siglip_224.webli",
    "swin_tiny_patch4_window7_224.ms_in1k",
    "regnetz_d8.ra3_in1k",
    "volo_d4_448.sail_in1k",
    "deepseek_vit_412m.deepseek_v4_1_flash",
    "vit_base_patch16_sapiens2.fb",
]
SIZES = [(427, 640), (640, 427), (97, 301), (61, 61)]


def images() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def transform_of(tag: str):
    return create_transform(**resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict()))


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_prepares_as_timm_does(tag: str) -> None:
    ours, theirs = AutoImageProcessor.from_pretrained(f"timm/{tag}"), transform_of(tag)
    given = images()
    prepared = ours(given)
    assert list(prepared) == ["pixel_values"]
    for values, image in zip(prepared.pixel_values, given, strict=True):
        expected = theirs(Image.fromarray(image))
        assert values.shape == expected.shape
        assert (values - expected).abs().max() < 1e-5


def test_a_model_and_its_recipe_have_the_size_of_the_tag() -> None:
    backbone = {"source": "timm", "name": "convnext_tiny.fb_in22k_ft_in1k_384"}
    classifier = {"name": "classification", "num_classes": 3}
    model = backbonekit.build_model({"backbone": backbone, "head": classifier})
    assert model.processor.processing.size == (384, 384)  # of 384 pixels and more timm loses nothing at the border
    assert model.recipe.processing["size"] == (384, 384)
    dense = backbonekit.build_model({"backbone": backbone, "head": {"name": "fcn", "num_classes": 3}})
    assert dense.processor.processing.size == (384, 384)
    backbone = {"source": "timm", "name": "vit_tiny_patch16_384", "args": {"img_size": 96}}
    chosen = backbonekit.build_model({"backbone": backbone, "head": classifier})
    assert chosen.processor.processing.crop == (96, 96)


def test_folders_of_timm_state_their_own(tmp_path: Path) -> None:
    stated = {"input_size": [3, 96, 96], "crop_pct": 0.9, "crop_mode": "border", "interpolation": "bilinear"}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": stated}))
    theirs = create_transform(**resolve_data_config(pretrained_cfg=stated))
    (given, *_) = images()
    found = AutoImageProcessor.from_pretrained(tmp_path)(given).pixel_values[0]
    assert (found - theirs(Image.fromarray(given))).abs().max() < 1e-5
    refused = [({"interpolation": "random"}, "'random'.*known: nearest"), ({"input_size": [3, 9, 8]}, "squares")]
    for wrong, says in refused:
        config = {"architecture": "test_resnet", "pretrained_cfg": {**stated, "crop_mode": "center", **wrong}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(StorageError, match=says):
            AutoImageProcessor.from_pretrained(tmp_path)


def test_weights_saved_for_another_size_keep_their_positions(tmp_path: Path) -> None:
    theirs = timm.create_model("test_vit", img_size=64)
    config = {
        "architecture": "test_vit",
        "pretrained_cfg": {"input_size": [3, 64, 64], "fixed_input_size": True, "classifier": "head"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    ours = backbonekit.AutoBackbone.from_pretrained(str(tmp_path))
    (positions,) = (value for name, value in ours.state_dict().items() if name.endswith("pos_embed"))
    assert torch.equal(positions, theirs.pos_embed)


@pytest.mark.slow
def test_every_tag_of_timm_prepares_as_timm_does() -> None:
    given = images()[:2]
    transforms: dict[str, list[torch.Tensor]] = {}
    tags = [tag for architecture in timm.list_models() for tag in get_arch_pretrained_cfgs(architecture)]
    for tag in tags:
        stated = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict())
        identity = identify(tag, None)
        processing = processing_of(identity.pretrained, identity.pretrained.input_size[-2:])
        same = str((stated, processing))
        if same not in transforms:  # two hundred ways to prepare among two thousand tags
            transform, prepared = create_transform(**stated), ImageProcessor(processing)(given)["pixel_values"]
            transforms[same] = [transform(Image.fromarray(image)) for image in given]
            for values, expected in zip(prepared, transforms[same], strict=True):
                assert values.shape == expected.shape, tag
                assert (values - expected).abs().max() < 1e-5, tag
    assert len(tags) > 2_000
