"""`AutoBackbone` and the backbone classes: attributes of the guide, weights that really arrive, saving."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

import backbonekit
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.hf_models import (
    AutoBackbone,
    BackboneMixin,
    BackboneOutput,
    Dinov2Backbone,
    Dinov2Config,
    MaskFormerSwinBackbone,
    MaskFormerSwinConfig,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
    TimmBackbone,
    TimmBackboneConfig,
)
from tests.fixed_weights import randomise_weights

SMALL = [
    (ResNetBackbone, ResNetConfig, {"hidden_sizes": [64, 96], "depths": [1, 1]}),
    (SwinBackbone, SwinConfig, {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 3}),
    (MaskFormerSwinBackbone, MaskFormerSwinConfig, {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4]}),
    (
        Dinov2Backbone,
        Dinov2Config,
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56},
    ),
]
families = pytest.mark.parametrize(("backbone_class", "config_class", "fields"), SMALL)


def same(one: BackboneMixin, other: BackboneMixin) -> bool:
    pixel_values = torch.randn(1, 3, 50, 66)
    with torch.no_grad():
        pairs = zip(one(pixel_values).feature_maps, other(pixel_values).feature_maps, strict=True)
        return all(torch.equal(mine, yours) for mine, yours in pairs)


@families
def test_attributes_of_the_guide(backbone_class, config_class, fields) -> None:
    config = config_class(**fields, out_features=["stage1", "stage2"])
    backbone = backbone_class(config)
    assert isinstance(backbone, BackboneMixin)
    assert not backbone.training
    assert backbone.config is config
    assert backbone.stage_names == ["stem", "stage1", "stage2"]
    assert backbone.out_indices == [1, 2]
    assert backbone.out_features == ["stage1", "stage2"]
    assert backbone.channels == [backbone.out_feature_channels[name] for name in backbone.out_features]
    out = backbone(torch.randn(2, 3, 60, 44))
    assert isinstance(out, BackboneOutput)
    assert isinstance(out.feature_maps, tuple)
    assert [feature_map.shape[1] for feature_map in out.feature_maps] == backbone.channels
    assert list(out) == ["feature_maps"]
    assert backbone.weights is None


@families
def test_the_default_is_the_last_stage(backbone_class, config_class, fields) -> None:
    assert AutoBackbone.from_config(config_class(**fields)).out_features == ["stage2"]


@families
def test_saved_weights_arrive(backbone_class, config_class, fields, tmp_path: Path) -> None:
    backbone = backbone_class(config_class(**fields, out_indices=[1, 2]))
    randomise_weights(backbone)
    backbone.save_pretrained(tmp_path)
    for again in (AutoBackbone.from_pretrained(tmp_path), backbone_class.from_pretrained(str(tmp_path))):
        assert type(again) is backbone_class
        assert not again.training
        assert again.weights.loaded_parameters == again.weights.total_parameters
        assert same(again, backbone)
    cut = AutoBackbone.from_pretrained(tmp_path, out_indices=(1,))
    backbone.out_indices = [1]
    assert same(cut, backbone)
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in backbone.parameters())
    with pytest.raises(ContractError, match=r"AutoBackbone\.from_pretrained\(.*out_indices=\[2\]\)"):
        cut.out_indices = [2]
    assert cut.out_indices == [1]


def test_setting_maps_changes_no_config() -> None:
    config = ResNetConfig(hidden_sizes=[64, 96], depths=[1, 1], out_indices=[1, 2])
    one, other = ResNetBackbone(config), ResNetBackbone(config)
    one.out_features = ["stage1"]
    assert (other.out_indices, config.out_indices) == ([1, 2], [1, 2])


def test_from_config_takes_a_mapping_and_leaves_a_config_alone() -> None:
    config = ResNetConfig(hidden_sizes=[64, 96], depths=[1, 1])
    backbone = AutoBackbone.from_config(config, out_indices=[0, 1])
    assert backbone.out_features == ["stem", "stage1"]
    assert config.out_indices == [2]
    assert AutoBackbone.from_config(config.to_dict(), out_features=["stem"]).channels == [64]


def test_random_weights_follow_the_seed() -> None:
    config = ResNetConfig(hidden_sizes=[64], depths=[1])
    state = torch.get_rng_state()
    one, again, other = (AutoBackbone.from_config(config, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, again)
    assert not same(one, other)


def test_other_channels_adapt_the_stem(tmp_path: Path) -> None:
    ResNetBackbone(ResNetConfig(hidden_sizes=[64], depths=[1])).save_pretrained(tmp_path)
    backbone = AutoBackbone.from_pretrained(tmp_path, num_channels=5)
    assert backbone(torch.randn(1, 5, 32, 32)).feature_maps[0].shape == (1, 64, 8, 8)
    assert [name for name, _ in backbone.weights.adapted] == ["body.conv1.weight"]


def test_the_norm_of_the_maps_can_be_chosen() -> None:
    config = SwinConfig(embed_dim=16, depths=[1], num_heads=[2], window_size=3)
    backbone = AutoBackbone.from_config(config, backbone_kwargs={"norm": "none"})
    assert not any(name.startswith("backbone.norms") for name, _ in backbone.named_parameters())


def test_timm_by_name_and_by_config() -> None:
    named = AutoBackbone.from_pretrained(
        "test_resnet", use_timm_backbone=True, use_pretrained_backbone=False, out_indices=(1, 2)
    )
    assert isinstance(named, TimmBackbone)
    assert named.out_features == ["layer1", "layer2"]
    configured = AutoBackbone.from_config(TimmBackboneConfig("test_resnet"), out_indices=[1, 2])
    assert same(named, configured)
    assert configured.channels == [level.channels for level in configured.backbone.features.levels]
    assert TimmBackbone(TimmBackboneConfig("test_vit2", num_channels=1)).backbone.body.patch_embed.proj.in_channels == 1


def test_timm_weights_arrive_from_a_folder(tmp_path: Path) -> None:
    model = randomise_weights(timm.create_model("test_resnet"))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    backbone = AutoBackbone.from_pretrained(str(tmp_path), use_timm_backbone=True, out_indices=(1,))
    assert torch.equal(backbone.backbone.body.bn1.weight, model.bn1.weight)
    assert backbone.weights.loaded_parameters == backbone.weights.total_parameters


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        AutoBackbone.from_pretrained(tmp_path)
    with pytest.raises(RecipeError, match="model_type"):
        AutoBackbone.from_config({"depths": [1]})
    with pytest.raises(ContractError, match="from_pretrained"):
        AutoBackbone()


def test_the_package_has_the_names() -> None:
    assert backbonekit.AutoBackbone is AutoBackbone
    assert backbonekit.BackboneMixin is BackboneMixin
    with pytest.raises(AttributeError, match="no attribute 'AutoBackbon'"):
        backbonekit.hf_models.AutoBackbon  # noqa: B018


def test_indices_alone_in_a_mapping_are_a_wish() -> None:
    fields = {"model_type": "resnet", "hidden_sizes": [64, 96], "depths": [1, 1], "layer_type": "basic"}
    assert AutoBackbone.from_config({**fields, "out_indices": [0, 1]}).out_indices == [0, 1]
