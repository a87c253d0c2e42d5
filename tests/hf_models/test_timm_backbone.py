"""`TimmBackbone`: frozen norms, strides, saving and coming back, here and in transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.hf_models import (
    AutoBackbone,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    TimmBackbone,
    TimmBackboneConfig,
)
from tests.fixed_weights import randomise_weights
from tests.hf_cache import cache_repository

NORM_STATE = ("running_mean", "running_var", "weight", "bias")


def build(name: str = "test_resnet", **fields: Any) -> TimmBackbone:
    return randomise_weights(TimmBackbone(TimmBackboneConfig(name, **fields))).eval()


def maps(backbone: nn.Module, pixel_values: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return backbone(pixel_values).feature_maps


def same(one: nn.Module, other: nn.Module, size: tuple[int, int] = (64, 96), tolerance: float = 1e-4) -> None:
    pixel_values = torch.randn(2, 3, *size)
    for given, expected in zip(maps(one, pixel_values), maps(other, pixel_values), strict=True):
        assert given.shape == expected.shape
        assert (given - expected).abs().max() <= tolerance * expected.abs().max()


def norms(backbone: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]


def test_frozen_norms_survive_training() -> None:
    backbone = build(freeze_batch_norm_2d=True, out_indices=[1, 2]).train()
    assert norms(backbone)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    pixel_values = torch.randn(4, 3, 64, 64)
    out = backbone(pixel_values).feature_maps
    out[-1].square().mean().backward()
    torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1).step()
    after = backbone.state_dict()
    owners = [name for name, module in backbone.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for owner in owners:
        for leaf in NORM_STATE:
            assert torch.equal(after[f"{owner}.{leaf}"], before[f"{owner}.{leaf}"])
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert backbone.training
    assert not any(norm.training for norm in norms(backbone))


def test_norms_train_where_nobody_freezes_them() -> None:
    assert all(norm.training and norm.weight.requires_grad for norm in norms(build().train()))
    backbone = build()
    backbone.freeze_batch_norm_2d()
    assert not any(norm.training or norm.weight.requires_grad for norm in norms(backbone.train()))


def test_a_mask_former_on_frozen_norms() -> None:
    own = TimmBackboneConfig("test_resnet", out_indices=[1, 2, 3], freeze_batch_norm_2d=True)
    config = MaskFormerConfig(backbone_config=own, num_labels=3)
    assert MaskFormerConfig.from_dict(config.to_dict()).backbone_config.freeze_batch_norm_2d
    model = MaskFormerForInstanceSegmentation(config).train()
    assert norms(model.model.backbone)
    assert not any(norm.training for norm in norms(model.model.backbone))
    assert MaskFormerConfig.from_recipe(model.model.recipe).backbone_config.freeze_batch_norm_2d


def test_output_stride_dilates() -> None:
    backbone = build("resnet18", output_stride=16, out_indices=[4])
    assert backbone.strides == [16]
    assert maps(backbone, torch.randn(1, 3, 64, 64))[0].shape[-2:] == (4, 4)
    with pytest.raises(ValueError, match="output_stride"):
        TimmBackbone(TimmBackboneConfig("test_vit", output_stride=8))


def test_states_are_the_maps_of_every_built_stage() -> None:
    backbone = build(out_indices=[1, 3])
    with torch.no_grad():
        out = backbone(torch.randn(1, 3, 64, 64), output_hidden_states=True)
    assert len(out.hidden_states) == 4
    assert torch.equal(out.hidden_states[1], out.feature_maps[0])
    assert torch.equal(out.hidden_states[3], out.feature_maps[1])
    vit = build("test_vit", out_indices=[2])
    side = vit.backbone.fixed_size or (64, 64)
    assert len(vit(torch.randn(1, 3, *side), output_hidden_states=True).hidden_states) == 3


def test_weights_of_attention_are_refused_with_a_message() -> None:
    backbone = build("test_vit")
    with pytest.raises(ContractError, match="AttentionExtract"):
        backbone(torch.randn(1, 3, 160, 160), output_attentions=True)


SAVED = [
    ("test_resnet", {"out_indices": [1, 3]}),
    ("test_convnext", {"out_indices": [0, 2]}),
    ("test_vit", {"out_indices": [1, 4]}),
    ("test_efficientnet", {"out_indices": [1, 2, 4]}),
    ("test_resnet", {"num_channels": 5, "backbone_kwargs": {"drop_path_rate": 0.1}}),
]


@pytest.mark.parametrize(("name", "fields"), SAVED, ids=[f"{name}-{len(fields)}" for name, fields in SAVED])
def test_saved_and_back(name: str, fields: dict[str, Any], tmp_path: Path) -> None:
    backbone = build(name, **fields)
    backbone.save_pretrained(tmp_path)
    size = backbone.backbone.fixed_size or (64, 96)
    pixel_values = torch.randn(1, fields.get("num_channels", 3), *size)
    expected = maps(backbone, pixel_values)
    for again in (TimmBackbone.from_pretrained(tmp_path), AutoBackbone.from_pretrained(str(tmp_path))):
        assert type(again) is TimmBackbone
        assert again.out_indices == backbone.out_indices
        assert again.weights.loaded_parameters == again.weights.total_parameters
        assert all(torch.equal(one, other) for one, other in zip(maps(again, pixel_values), expected, strict=True))
    cut = AutoBackbone.from_pretrained(tmp_path, out_indices=backbone.out_indices[0])
    assert torch.equal(maps(cut, pixel_values)[0], expected[0])
    config = TimmBackboneConfig.from_pretrained(tmp_path)
    assert (config.num_channels, dict(config.backbone_kwargs)) == (
        fields.get("num_channels", 3),
        fields.get("backbone_kwargs", {}),
    )


def test_what_is_not_reached_is_not_saved(tmp_path: Path) -> None:
    backbone = build(out_indices=[1, 3])
    backbone.out_indices = [1]
    backbone.save_pretrained(tmp_path)
    assert not any("layer2" in name for name in load_file(tmp_path / "model.safetensors"))
    with torch.no_grad():
        expected = backbone(pixel_values := torch.randn(1, 3, 32, 32)).feature_maps
    assert torch.equal(maps(AutoBackbone.from_pretrained(tmp_path), pixel_values)[0], expected[0])
    with pytest.raises(WeightsError):
        AutoBackbone.from_pretrained(tmp_path, out_indices=[3])


def test_saved_ones_are_found_on_the_hub_and_random_weights_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build(freeze_batch_norm_2d=True)
    backbone.save_pretrained(tmp_path / "saved")
    cache_repository(tmp_path / "cache", "somebody/backbone", tmp_path / "saved")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for found in (AutoBackbone.from_pretrained("somebody/backbone"), TimmBackbone.from_pretrained("somebody/backbone")):
        same(found, backbone, tolerance=0)
        assert not any(norm.training for norm in norms(found.train()))
    fresh = AutoBackbone.from_pretrained("somebody/backbone", use_pretrained_backbone=False)
    assert fresh.weights is None


def test_weights_in_timms_format_need_no_flag(tmp_path: Path) -> None:
    model = randomise_weights(timm.create_model("test_resnet"))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    backbone = AutoBackbone.from_pretrained(tmp_path, out_indices=(1,))
    assert torch.equal(backbone.backbone.body.bn1.weight, model.bn1.weight)
    # What is saved of it stands alone.
    backbone.save_pretrained(tmp_path / "again")
    same(AutoBackbone.from_pretrained(tmp_path / "again"), backbone, tolerance=0)


def test_from_config_takes_the_content_of_a_file() -> None:
    fields = TimmBackboneConfig("test_resnet", out_indices=[1, 2]).to_dict()
    assert AutoBackbone.from_config(fields).out_features == ["layer1", "layer2"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze_batch_norm_2d": "yes"}, "freeze_batch_norm_2d: given 'yes', must be true or false"),
        ({"num_channels": 0}, "num_channels: given 0, must be a whole number from 1 to 1,024"),
        ({"num_channels": 10**5_000}, "num_channels: given a whole number of about 5,000 digits, must be"),
        ({"output_stride": "16"}, "output_stride: given '16', must be a whole number from 1 to 1,024 or null"),
        ({"out_indicies": [1]}, "did you mean 'out_indices'"),
        ({"img_size": 64}, "has no field 'img_size'"),
    ],
)
def test_fields_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TimmBackboneConfig("test_resnet", **fields)
    with pytest.raises(RecipeError):
        TimmBackboneConfig.from_dict({"model_type": "timm_backbone", "backbone": "test_resnet"}, **fields)


# against transformers


def theirs(name: str, **fields: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.TimmBackboneConfig(backbone=name, **fields)
    return randomise_weights(transformers.TimmBackbone(config)).eval()


@pytest.mark.parity
@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_what_transformers_saved_is_read(name: str, freeze: bool, tmp_path: Path) -> None:
    expected = theirs(name, out_indices=[1, 2], freeze_batch_norm_2d=freeze)
    expected.save_pretrained(tmp_path)
    ours = AutoBackbone.from_pretrained(tmp_path)
    assert ours.config.freeze_batch_norm_2d is freeze
    same(ours, expected)
    if freeze:
        same(ours.train(), expected.train())


@pytest.mark.parity
@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
def test_what_is_written_is_read_by_transformers(name: str, freeze: bool, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    backbone = build(name, out_indices=[1, 2], freeze_batch_norm_2d=freeze)
    backbone.save_pretrained(tmp_path)
    config = transformers.TimmBackboneConfig.from_pretrained(tmp_path)
    assert list(config.out_indices) == [1, 2]
    model = transformers.TimmBackbone(config)
    model.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    same(backbone, model.eval(), size=backbone.backbone.fixed_size or (64, 96))


@pytest.mark.parity
def test_states_are_those_of_transformers(tmp_path: Path) -> None:
    expected = theirs("test_resnet", out_indices=[1, 4])
    expected.save_pretrained(tmp_path)
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        given = AutoBackbone.from_pretrained(tmp_path)(pixel_values, output_hidden_states=True)
        states = expected(pixel_values, output_hidden_states=True).hidden_states
    assert len(given.hidden_states) == len(states)
    for one, other in zip(given.hidden_states, states, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()
