"""Names, arguments, processing and weights of the timm source."""

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbonekit.backbones.timm.blueprint import TimmBlueprint, blueprint
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from tests.fixed_weights import randomise_weights


def plan(name: str | None, in_channels: int = 3, config=None, **args) -> TimmBlueprint:
    return blueprint(name, config=config, revision=None, in_channels=in_channels, args=args)


def load(source: TimmBlueprint, where: str | bool, indices: list[int]) -> tuple[torch.nn.Module, FillReport]:
    checkpoint = source.checkpoint(where, None, indices)
    with without_weights():
        backbone = source.construct(indices)
    report = fill(backbone, checkpoint, adapt=source.adapt)
    finish(backbone)
    return backbone, report


def saved(tmp_path: Path, name: str, **arguments) -> tuple[torch.nn.Module, str]:
    """A timm model with a classifier and its weights as the Hub has them."""
    model = randomise_weights(timm.create_model(name, **arguments)).eval()
    path = tmp_path / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)
    return model, str(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", "timm has no architecture 'resnet5'; did you mean"),
        ("resnet50.a9_in1k", "timm has no weights 'a9_in1k' of resnet50; did you mean 'resnet50."),
        ("timm/resnet5", "timm has no architecture 'resnet5'; did you mean"),
        (None, "backbone.name is needed"),
    ],
)
def test_wrong_names(name: str | None, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(name)
    assert message in str(caught.value)


def test_a_name_with_timms_prefix_is_the_same() -> None:
    assert plan("timm/resnet18.a1_in1k").levels == plan("resnet18").levels


def test_wrong_arguments_are_reported_together() -> None:
    with pytest.raises(RecipeError) as caught:
        plan("resnet18", drop_path_rat=0.1, num_classes=3, checkpoint_path="x", act_layer=lambda x: x, in_chans=1)
    assert len(caught.value.faults) == 5
    assert "did you mean 'drop_path_rate'?" in caught.value.faults[0]
    assert "a head decides it" in caught.value.faults[1]


def test_an_image_size_has_a_bound() -> None:
    with pytest.raises(RecipeError, match="img_size"):
        plan("vit_tiny_patch16_224", img_size=10_000_000)


@pytest.mark.parametrize("value", [10**400, float("nan"), "deep", {1: 2}, {1, 2}], ids=range(5))
def test_an_argument_is_plain_data(value: object) -> None:
    if value == "deep":
        value = []
        for _ in range(100_000):
            value = [value]
    with pytest.raises(RecipeError, match=r"args\.drop_path_rate"):
        plan("resnet18", drop_path_rate=value)


def test_a_config_is_refused() -> None:
    with pytest.raises(RecipeError, match="source: hf"):
        plan("resnet18", config={"model_type": "resnet"})


def test_timms_own_error_becomes_a_contract_error() -> None:
    with pytest.raises(ContractError, match="timm does not build resnet18"):
        plan("resnet18", output_stride=7)


def test_processing_is_the_pretrained_models() -> None:
    assert plan("convnext_tiny.fb_in22k").processing == Processing(
        shortest_edge=256, crop=(224, 224), interpolation="bicubic", rounding="nearest"
    )
    assert plan("vit_tiny_patch16_224").processing.mean == (0.5, 0.5, 0.5)
    assert plan("beit_base_patch16_224", img_size=96).processing.crop == (96, 96)


def test_weights_arrive_and_maps_are_those_of_features_only(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "test_resnet")
    backbone, report = load(plan("test_resnet"), path, [1, 3])
    oracle = timm.create_model("test_resnet", features_only=True, out_indices=(1, 3)).eval()
    oracle.load_state_dict({key: value for key, value in _tensors(path).items() if key in oracle.state_dict()})
    pixel_values = torch.randn(2, 3, 65, 47)
    with torch.no_grad():
        for given, expected in zip(backbone(pixel_values).maps, oracle(pixel_values), strict=True):
            assert torch.equal(given, expected)
    assert report.loaded_parameters == report.total_parameters
    assert not any(name.startswith(("body.fc", "body.layer4")) for name in report.loaded)


def test_layer_names_are_those_of_timms_checkpoints(tmp_path: Path) -> None:
    model, _ = saved(tmp_path, "test_vit2")
    last = len(plan("test_vit2").levels) - 1
    names = {name.removeprefix("body.") for name in plan("test_vit2").construct([last]).state_dict()}
    assert names < set(model.state_dict())


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit2"])
def test_a_pretrained_stem_is_adapted_as_timm_does(tmp_path: Path, name: str, channels: int) -> None:
    _, path = saved(tmp_path, name)
    backbone, report = load(plan(name, channels), path, [0])
    assert [how for _, how in report.adapted] == [
        "summed over 3 input channels for 1" if channels == 1 else "repeated and scaled from 3 input channels for 5"
    ]
    stem = "patch_embed.proj.weight" if name == "test_vit2" else "conv1.0.weight"
    stem = stem if stem in _tensors(path) else "conv1.weight"
    expected = timm.models.adapt_input_conv(channels, _tensors(path)[stem])
    torch.testing.assert_close(backbone.state_dict()[f"body.{stem}"], expected)


@pytest.mark.parametrize(
    ("stored", "channels"), [(6, 1), (12, 1), (6, 13), (13, 6), (6, 3), (1, 3), (1, 12), (4, 1), (4, 3)]
)
def test_a_stem_of_any_channels_becomes_one_of_any_others(tmp_path: Path, stored: int, channels: int) -> None:
    path = tmp_path / "model.safetensors"
    save_file(plan("test_resnet", stored).construct([0]).state_dict(), path)
    backbone, report = load(plan("test_resnet", channels), str(path), [0])
    ((name, how),) = report.adapted
    assert how.endswith(f" {stored} input channels for {channels}")
    before, after = load_file(path)[name], backbone.state_dict()[name]
    assert after.shape[1] == channels
    if channels > 1:
        torch.testing.assert_close(after[:, -1], before[:, (channels - 1) % stored] * stored / channels)
    if channels == 1 or channels % stored == 0:  # a grey image is read as before
        torch.testing.assert_close(after.sum(1), before.sum(1))


def test_a_position_table_is_resampled_for_another_image(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "test_vit2")
    backbone, report = load(plan("test_vit2", img_size=96), path, [1])
    ((name, how),) = report.adapted
    assert name == "body.pos_embed"
    assert how.startswith("resampled by timm from [1, 10")
    oracle = timm.create_model("test_vit2", img_size=96, dynamic_img_size=True, dynamic_img_pad=True).eval()
    filtered = timm.models.vision_transformer.checkpoint_filter_fn(_tensors(path), oracle)
    oracle.load_state_dict(filtered)
    pixel_values = torch.randn(1, 3, 90, 70)
    with torch.no_grad():
        expected = oracle.forward_intermediates(pixel_values, indices=[1], intermediates_only=True)
        torch.testing.assert_close(backbone(pixel_values).maps[0], expected[0])


def test_older_names_are_converted_as_timm_does(tmp_path: Path) -> None:
    """Original Swin checkpoints merge patches at the end of a stage, timm at the start of the next."""
    small = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "img_size": 64}
    model = timm.create_model("swin_tiny_patch4_window7_224", **small)
    original = {key.replace("layers.1.downsample", "layers.0.downsample"): t for key, t in model.state_dict().items()}
    original["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(2, 2)
    save_file(original, tmp_path / "model.safetensors")
    source = plan("swin_tiny_patch4_window7_224", **small)
    backbone, _ = load(source, str(tmp_path / "model.safetensors"), [1])
    for name in ("layers.1.downsample.reduction.weight", "layers.0.blocks.0.attn.qkv.weight"):
        assert torch.equal(backbone.state_dict()[f"body.{name}"], model.state_dict()[name])


def test_weights_that_do_not_fit_are_reported(tmp_path: Path) -> None:
    _, path = saved(tmp_path, "test_resnet")
    tensors = _tensors(path)
    tensors["stray.weight"] = tensors.pop("layer1.0.conv1.weight")
    save_file(tensors, tmp_path / "wrong.safetensors")
    with pytest.raises(WeightsError) as caught:
        load(plan("test_resnet"), str(tmp_path / "wrong.safetensors"), [1])
    assert "body.layer1.0.conv1.weight" in str(caught.value)
    assert "body.stray.weight" in str(caught.value)


def test_a_folder_in_timms_format_is_a_backbone(tmp_path: Path) -> None:
    model, _ = saved(tmp_path, "test_vit2", img_size=64)
    config = {"architecture": "test_vit2", "model_args": {"img_size": 64}, "pretrained_cfg": {"mean": [0.1, 0.2, 0.3]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = plan(str(tmp_path))
    assert source.canvas == (64, 64)
    assert source.processing.mean == (0.1, 0.2, 0.3)
    backbone, report = load(source, True, [0])
    assert report.adapted == []
    assert torch.equal(backbone.state_dict()["body.pos_embed"], model.state_dict()["pos_embed"])


def test_a_folder_of_transformers_is_pointed_to_the_other_source(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(RecipeError, match="use source: hf"):
        plan(str(tmp_path))


def test_an_architecture_without_published_weights_says_so() -> None:
    with pytest.raises(WeightsError, match="no weights on the Hub"):
        plan("dpn48b").checkpoint(True, None, [1])


def _tensors(path: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)
