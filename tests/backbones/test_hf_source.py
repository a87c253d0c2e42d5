"""Configurations, arguments, processing and weights of the hf source."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from backbonekit.backbones.hf.blueprint import HFBlueprint, blueprint
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from tests.fixed_weights import randomise_weights

RESNET = {"model_type": "resnet", "hidden_sizes": [64, 96], "depths": [1, 1]}
SWIN = {"model_type": "swin", "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 3}
DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
}


def plan(name: str | None = None, config: Any = None, in_channels: int = 3, **args: Any) -> HFBlueprint:
    return blueprint(name, config=config, revision=None, in_channels=in_channels, args=args)


def load(source: HFBlueprint, where: str | bool, indices: list[int]) -> tuple[torch.nn.Module, FillReport]:
    checkpoint = source.checkpoint(where, None, indices)
    with without_weights():
        backbone = source.construct(indices)
    report = fill(backbone, checkpoint, adapt=source.adapt)
    finish(backbone)
    return backbone, report


@pytest.fixture
def folder(tmp_path: Path):
    """Writes a folder as transformers does, with random weights; returns it."""

    def write(config: dict[str, Any], indices: list[int], **args: Any) -> str:
        source = plan(config=config, **args)
        backbone = randomise_weights(source.construct(indices))
        tensors = family(config["model_type"]).key_map(source.architecture).reverse(backbone.state_dict())
        save_file(tensors, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(config))
        return str(tmp_path)

    return write


@pytest.mark.parametrize("model_type", model_types())
def test_the_defaults_of_every_field_are_those_of_transformers(model_type: str) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CONFIG_MAPPING[model_type]()
    ours = family(model_type).config_class()
    for name, value in ours.to_mapping().items():
        other = getattr(theirs, name)
        assert value == (list(other) if isinstance(other, tuple) else other), name
    # Everything that transformers writes is known here.
    assert family(model_type).config_class.from_mapping(theirs.to_dict()) == ours


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "no model_type"),
        ({"model_type": "rezenet"}, "did you mean 'resnet'?"),
        ({"model_type": "vit"}, "source: transformers"),
        ({**RESNET, "depths": [1]}, "one for each stage"),
        ({**RESNET, "depths": [1, 10**9]}, "depths.1: given 1000000000, must be a whole number from 1 to 200."),
        ({**RESNET, "depths": "11"}, "depths: given '11', must be a list"),
        ({**RESNET, "depths": [10**400]}, "depths.0: given a whole number of about 400 digits, must be a whole number"),
        ({**RESNET, "layer_type": []}, "layer_type: given [], must be one of bottleneck, basic"),
        ({**RESNET, "hidden_sizes": [64, 97]}, "multiples of 4"),
        ({**RESNET, "layer_type": "fancy"}, "layer_type: given 'fancy', must be one of bottleneck, basic"),
        ({**RESNET, "hidden_act": "tanhshrink"}, "source: transformers"),
        ({**RESNET, "downsample_in_bottleneck": 1}, "true or false"),
        ({**SWIN, "use_absolute_embeddings": True}, "source: transformers"),
        ({**SWIN, "num_heads": [2, 5]}, "does not divide"),
        ({**SWIN, "drop_path_rate": float("nan")}, "drop_path_rate: given nan, must be a number from 0 to 0.99"),
        ({**SWIN, "layer_norm_eps": 10**400}, "layer_norm_eps: given a whole number of about 400 digits, must be"),
        ({**DINOV2, "image_size": [56, 70]}, "must be a square"),
        ({**DINOV2, "num_hidden_layers": True}, "whole number"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(config=config)
    assert message in str(caught.value)


def test_all_faults_of_a_configuration_are_reported_together() -> None:
    with pytest.raises(RecipeError) as caught:
        plan(config={**RESNET, "depths": [0], "num_channels": 0, "embedding_size": "64"})
    assert len(caught.value.faults) == 3


def test_of_a_whole_model_it_is_the_backbone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "maskformer", "backbone_config": RESNET}))
    assert plan(str(tmp_path)).config == plan(config=RESNET).config
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "maskformer", "backbone_config": None}))
    with pytest.raises(RecipeError, match="model_type 'maskformer' is no backbone"):
        plan(str(tmp_path))


def test_arguments_are_checked() -> None:
    with pytest.raises(RecipeError, match="takes no such argument; did you mean 'norm'"):
        plan(config=RESNET, norms="final")
    with pytest.raises(RecipeError, match="one of none, final, last, per_stage"):
        plan(config=RESNET, norm="some")
    with pytest.raises(ContractError, match="resnet has no final norm"):
        plan(config=RESNET, norm="final")
    with pytest.raises(RecipeError, match=r"drop_path_rate: given 3\.0, must be a number from 0 to"):
        plan(config=SWIN, drop_path_rate=3.0)


def test_the_stem_of_maskformer_swin_is_a_name_only() -> None:
    source = plan(config={**SWIN, "model_type": "maskformer-swin"})
    assert source.forbidden == {0}
    with pytest.raises(ContractError, match="has no map at 0"):
        source.construct([0, 1])


def test_the_saved_configuration_rebuilds_the_backbone() -> None:
    source = plan(config=SWIN, drop_path_rate=0.4)
    assert source.config["drop_path_rate"] == 0.1
    assert source.config["mlp_ratio"] == 4.0
    assert plan(config=json.loads(json.dumps(source.config))).levels == source.levels


def test_a_folder_is_enough(folder) -> None:
    where = folder(SWIN, [0, 1, 2])
    backbone, report = load(plan(where), True, [0, 1, 2])
    assert report.loaded_parameters == report.total_parameters
    assert torch.equal(
        backbone.state_dict()["norms.stem.weight"],
        load_file(f"{where}/model.safetensors")["hidden_states_norms.stem.weight"],
    )


def test_a_configuration_beside_other_weights_is_one_error_that_lists_the_fields(folder) -> None:
    where = folder(SWIN, [2])
    source = plan(where, config={**SWIN, "window_size": 4, "num_heads": [4, 4], "drop_path_rate": 0.5})
    with pytest.raises(RecipeError) as caught:
        source.checkpoint(True, None, [2])
    assert "window_size: 4 here, 3 there" in str(caught.value)
    assert "num_heads: (4, 4) here, (2, 4) there" in str(caught.value)
    assert "drop_path_rate" not in str(caught.value)
    with pytest.raises(RecipeError, match=r"of model_type resnet, the weights at .* of swin"):
        plan(config=RESNET).checkpoint(where, None, [1])


def test_norms_that_a_checkpoint_lacks_start_plain_and_are_reported(folder) -> None:
    where = folder(SWIN, [2], norm="none")
    backbone, report = load(plan(where), True, [2])
    assert torch.equal(backbone.norms["stage2"].weight, torch.ones(32))
    assert ("norms.stage2.bias", "not in the checkpoint: starts as plain normalisation") in report.adapted


def test_norms_of_another_kind_are_left_unread(folder) -> None:
    where = folder(SWIN, [0, 1, 2])
    backbone, report = load(plan(where, norm="none"), True, [2])
    assert not list(backbone.norms)
    assert report.surplus == []


def test_only_norms_of_returned_maps_are_trained() -> None:
    backbone = plan(config=SWIN).construct([1, 2])
    trained = {name for name, parameter in backbone.norms.named_parameters() if parameter.requires_grad}
    assert trained == {"stage1.weight", "stage1.bias", "stage2.weight", "stage2.bias"}
    backbone.out_indices = [0]
    trained = {name for name, parameter in backbone.norms.named_parameters() if parameter.requires_grad}
    assert trained == {"stem.weight", "stem.bias"}


def test_a_stem_is_adapted_to_other_channels(folder) -> None:
    where = folder(RESNET, [2])
    stored = load_file(f"{where}/model.safetensors")["embedder.embedder.convolution.weight"]
    one, report = load(plan(where, in_channels=1), True, [1])
    torch.testing.assert_close(one.body.conv1.weight, stored.sum(1, keepdim=True))
    assert report.adapted == [("body.conv1.weight", "summed over 3 input channels for 1")]
    five, _ = load(plan(where, in_channels=5), True, [1])
    torch.testing.assert_close(five.body.conv1.weight, torch.cat((stored, stored[:, :2]), 1) * 0.6)


@pytest.mark.parametrize(("stored", "channels"), [(6, 1), (12, 4), (1, 3), (4, 13)])
def test_a_stem_of_any_channels_becomes_one_of_any_others(tmp_path: Path, stored: int, channels: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file(plan(config=RESNET, in_channels=stored).construct([1]).state_dict(), path)
    backbone, report = load(plan(config=RESNET, in_channels=channels), str(path), [1])
    ((name, how),) = report.adapted
    assert (name, how.endswith(f" {stored} input channels for {channels}")) == ("body.conv1.weight", True)
    assert backbone.body.conv1.weight.shape[1] == channels


def test_a_position_table_is_resampled_for_another_image_size(folder) -> None:
    where = folder(DINOV2, [2])
    small, report = load(plan(where, config={**DINOV2, "image_size": 42}), True, [2])
    assert report.adapted == [("body.pos_embed", "positions resampled from 17 to 10")]
    native, _ = load(plan(where), True, [2])
    pixel_values = torch.randn(1, 3, 42, 42)
    with torch.no_grad():
        torch.testing.assert_close(small(pixel_values).maps[0], native(pixel_values).maps[0])


def test_weights_of_our_own_saving_are_read_as_they_are(folder, tmp_path: Path) -> None:
    backbone = randomise_weights(plan(config=RESNET).construct([2]))
    for prefix in ("", "backbone."):
        path = tmp_path / "own.safetensors"
        save_file({prefix + name: tensor for name, tensor in backbone.state_dict().items()}, path)
        again, _ = load(plan(config=RESNET), str(path), [1])
        assert torch.equal(again.body.conv1.weight, backbone.body.conv1.weight)


def test_weights_that_do_not_fit_are_reported(folder) -> None:
    where = folder(RESNET, [2])
    tensors = load_file(f"{where}/model.safetensors")
    tensors["embedder.embedder.extra"] = tensors.pop("embedder.embedder.convolution.weight")
    save_file(tensors, f"{where}/model.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(plan(where), True, [1])
    assert "body.conv1.weight" in str(caught.value)
    assert "embedder.embedder.extra" in str(caught.value)


def test_pretrained_without_a_name() -> None:
    with pytest.raises(RecipeError, match=r"needs backbone\.name"):
        plan(config=RESNET).checkpoint(True, None, [1])


def test_processing_is_the_folders(folder) -> None:
    where = folder(RESNET, [2])
    assert plan(where).processing == Processing(shortest_edge=256, crop=(224, 224), interpolation="bicubic")
    Path(where, "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 96, "width": 128}, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]})
    )
    for source in (plan(where), plan(where, config=RESNET)):
        assert source.processing.size == (96, 128)
        assert source.processing.mean == (0.1, 0.2, 0.3)


def test_each_weight_belongs_to_a_stage() -> None:
    for config in (RESNET, SWIN, DINOV2):
        backbone = plan(config=config).construct([2])
        stages = {name: backbone.stage_of(name) for name, _ in backbone.named_parameters()}
        assert set(stages.values()) == {0, 1, 2}
        assert all(stages[name] == 0 for name in stages if "patch_embed" in name or name == "body.conv1.weight")
