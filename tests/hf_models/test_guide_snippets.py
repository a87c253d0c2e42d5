"""The eight snippets of the Hugging Face guide, with only the import changed, offline against a cache.

The checkpoints under the guide's names are small and random, so what is compared is that they arrive.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from backbonekit import (
    AutoBackbone,
    AutoImageProcessor,
    BackboneOutput,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
    TimmBackboneConfig,
)
from tests.fixed_weights import randomise_weights
from tests.hf_cache import cache_repository

SWIN = "microsoft/swin-tiny-patch4-window7-224"
DECODER = {"d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "num_queries": 5}
SMALL = {"decoder_config": DECODER, "fpn_feature_size": 32, "mask_feature_size": 32}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, nn.Module]]:
    """A cache, and by the names in it the very models that it holds."""
    folder = tmp_path_factory.mktemp("hub")
    swin = SwinConfig(embed_dim=96, depths=(1, 1, 1, 1), num_heads=(3, 6, 12, 24), out_indices=[0, 1, 2, 3, 4])
    resnet = ResNetConfig(hidden_sizes=(64, 64, 96, 96), depths=(1, 1, 1, 1), layer_type="basic")
    models: dict[str, Any] = {
        SWIN: randomise_weights(SwinBackbone(swin)).eval(),
        "microsoft/resnet-50": randomise_weights(ResNetBackbone(resnet)).eval(),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
    (folder / SWIN / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 3})
    )
    models["timm/resnet50.a1_in1k"] = timm_model = randomise_weights(timm.create_model("resnet50"))
    (folder / "timm" / "resnet50.a1_in1k").mkdir(parents=True)
    save_file(timm_model.state_dict(), folder / "timm" / "resnet50.a1_in1k" / "model.safetensors")
    (folder / "timm" / "resnet50.a1_in1k" / "config.json").write_text(json.dumps({"architecture": "resnet50"}))
    for name in models:
        cache_repository(folder / "cache", name, folder / name)
    return folder / "cache", models


@pytest.fixture
def models(saved: tuple[Path, dict[str, nn.Module]], monkeypatch: pytest.MonkeyPatch) -> dict[str, nn.Module]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(saved[0]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return saved[1]


def assert_runs_with_four_maps(model: MaskFormerForInstanceSegmentation) -> Any:
    with torch.no_grad():
        out = model(torch.randn(1, 3, 64, 64))
    assert [each.shape[-1] for each in out.feature_maps] == [16, 8, 4, 2]
    assert out.masks_queries_logits.shape == (1, 5, 16, 16)
    return out


def assert_holds(backbone: nn.Module, weights: dict[str, Tensor]) -> None:
    """Every tensor of the backbone is the one in the checkpoint, bit by bit."""
    state = backbone.state_dict()
    assert state
    assert all(torch.equal(tensor, weights[name]) for name, tensor in state.items())


def test_s1_a_backbone_by_index(models: dict[str, nn.Module]) -> None:
    model = AutoBackbone.from_pretrained(SWIN, out_indices=(1,))
    assert (model.out_features, model.channels) == (["stage1"], [96])
    assert_holds(model.backbone, models[SWIN].backbone.state_dict())


def test_s2_a_backbone_by_name_of_stage(models: dict[str, nn.Module]) -> None:
    model = AutoBackbone.from_pretrained(SWIN, out_features=["stage1"])
    assert model.out_indices == [1]
    assert_holds(model.backbone, models[SWIN].backbone.state_dict())


@pytest.mark.parametrize("pretrained", [True, False])
def test_s3_a_mask_former_on_a_backbone_by_name(models: dict[str, nn.Module], pretrained: bool) -> None:
    config = MaskFormerConfig(backbone="microsoft/resnet-50", use_pretrained_backbone=pretrained, **SMALL)
    model = MaskFormerForInstanceSegmentation(config)
    assert_runs_with_four_maps(model)
    stored = models["microsoft/resnet-50"].backbone.state_dict()
    if pretrained:
        assert_holds(model.model.backbone, stored)
        assert model.weight_report.sources[0].loaded == model.weight_report.sources[0].parameters
    else:
        own = model.model.backbone.state_dict()
        assert not torch.equal(own["body.conv1.weight"], stored["body.conv1.weight"])


def test_s4_a_mask_former_on_a_configuration() -> None:
    small = ResNetConfig(hidden_sizes=(64, 64, 96, 96), depths=(1, 1, 1, 1), layer_type="basic")
    model = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=small, **SMALL))
    assert_runs_with_four_maps(model)


def test_s5_a_mask_former_on_a_backbone_of_timm(models: dict[str, nn.Module]) -> None:
    config = MaskFormerConfig(backbone="resnet50", use_timm_backbone=True, use_pretrained_backbone=True, **SMALL)
    model = MaskFormerForInstanceSegmentation(config)
    assert_runs_with_four_maps(model)
    stored = {f"body.{name}": tensor for name, tensor in models["timm/resnet50.a1_in1k"].state_dict().items()}
    assert_holds(model.model.backbone, stored)


def test_s6_a_configuration_of_timm_by_its_name_alone(models: dict[str, nn.Module]) -> None:
    config = TimmBackboneConfig("resnet50", use_pretrained_backbone=True)
    assert (config.backbone, config.indices_were_set) == ("resnet50", False)
    assert not TimmBackboneConfig("resnet50").use_pretrained_backbone
    stored = {f"body.{name}": tensor for name, tensor in models["timm/resnet50.a1_in1k"].state_dict().items()}
    assert_holds(AutoBackbone.from_config(config).backbone, stored)


def test_s7_that_configuration_in_a_mask_former(models: dict[str, nn.Module]) -> None:
    own = TimmBackboneConfig("resnet50", use_pretrained_backbone=True)
    model = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=own, **SMALL))
    assert_runs_with_four_maps(model)
    stored = {f"body.{name}": tensor for name, tensor in models["timm/resnet50.a1_in1k"].state_dict().items()}
    assert_holds(model.model.backbone, stored)


def test_s8_features_of_an_image(models: dict[str, nn.Module]) -> None:
    processor = AutoImageProcessor.from_pretrained(SWIN)
    model = AutoBackbone.from_pretrained(SWIN, out_indices=(1,))
    inputs = processor(Image.new("RGB", (640, 480), "navy"), return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
        expected = models[SWIN](inputs["pixel_values"]).feature_maps[1]
    assert isinstance(outputs, BackboneOutput)
    assert list(outputs.feature_maps[0].shape) == [1, 96, 56, 56]
    torch.testing.assert_close(outputs.feature_maps[0], expected)
