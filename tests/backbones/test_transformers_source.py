"""Backbones run by transformers: the contract, weights that transformers wrote, whole models on them, refusals."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import backbonekit as bk
from backbonekit.backbones.hf import blueprint as hf_source
from backbonekit.backbones.transformers.blueprint import TransformersBlueprint, blueprint
from backbonekit.contract.roles import Backbone
from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from backbonekit.weights.private_random import seeded
from tests.fixed_weights import randomise_weights

transformers = pytest.importorskip("transformers")

RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 12, 16, 20], "depths": [1, 2, 1, 1]}
PIXIO = {
    "model_type": "pixio",
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "n_cls_tokens": 2,
}
TEXTNET = {
    "model_type": "textnet",
    "stem_out_channels": 8,
    "image_size": 64,
    "conv_layer_kernel_sizes": [[[3, 3]], [[3, 3], [3, 1]], [[1, 3]], [[3, 3]]],
    "conv_layer_strides": [[1], [2, 1], [2], [2]],
    "hidden_sizes": [8, 8, 12, 16, 20],
}
SWIN = {
    "model_type": "swin",
    "embed_dim": 8,
    "depths": [1, 2],
    "num_heads": [1, 2],
    "window_size": 4,
    "image_size": 32,
}
DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
}
VITPOSE = {
    "model_type": "vitpose_backbone",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": [64, 48],
    "patch_size": [16, 16],
}
PP_LCNET = {"model_type": "pp_lcnet", "scale": 0.25}
MASKFORMER_SWIN = {**SWIN, "model_type": "maskformer-swin"}


def plan(config: Any, name: str | None = None, in_channels: int = 3, **args: Any) -> TransformersBlueprint:
    return blueprint(name, config=config, revision=None, in_channels=in_channels, args=args)


def every_index(source: TransformersBlueprint) -> list[int]:
    return [index for index in range(len(source.levels)) if index not in source.forbidden]


def load(source: Any, where: str | bool, indices: list[int]) -> tuple[Any, FillReport]:
    checkpoint = source.checkpoint(where, None, indices)
    with seeded(0), without_weights():
        backbone = source.construct(indices)
    report = fill(backbone, checkpoint, adapt=source.adapt)
    finish(backbone)
    return backbone, report


def original(class_name: str, config: dict[str, Any], folder: Path, **more: Any) -> Any:
    """A model of transformers with random weights, saved by itself."""
    values = {key: value for key, value in config.items() if key != "model_type"}
    made = transformers.CONFIG_MAPPING[config["model_type"]](**copy.deepcopy(values), **more)
    model = randomise_weights(getattr(transformers, class_name)(made)).eval()
    model.save_pretrained(folder)
    return model


def image(height: int, width: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(5))


def assert_equal(given: Any, expected: Any) -> None:
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "channels", "strides", "sizes"),
    [
        (RESNET, (8, 8, 12, 16, 20), (4, 4, 8, 16, 32), [(64, 64), (33, 47)]),
        (TEXTNET, (8, 8, 8, 12, 16), None, [(64, 64), (33, 47)]),
        (PIXIO, (16,) * 4, (8,) * 4, [(32, 32), (40, 24)]),
        (DINOV2, (16,) * 4, (14,) * 4, [(28, 28), (33, 47)]),
        (SWIN, (8, 8, 16), (4, 4, 8), [(32, 32), (33, 47)]),
        (MASKFORMER_SWIN, (8, 8, 16), (4, 4, 8), [(32, 32), (33, 47)]),
        (PP_LCNET, None, (2, 2, 4, 8, 16, 32), [(64, 64), (33, 47)]),
        (VITPOSE, (16,) * 3, (16,) * 3, [(64, 48)]),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_returns_the_maps_that_it_publishes(config: Any, channels: Any, strides: Any, sizes: Any) -> None:
    source = plan(config)
    if channels is not None and config is not TEXTNET:
        assert tuple(level.channels for level in source.levels) == channels
    if strides is not None:
        assert tuple(level.stride for level in source.levels) == strides
    indices = every_index(source)
    backbone = randomise_weights(source.construct(indices))
    assert isinstance(backbone, Backbone)
    assert not any(module.training for module in backbone.modules())
    assert backbone.stage_names == tuple(level.name for level in source.levels)
    for height, width in sizes:
        with torch.no_grad():
            maps = backbone(image(height, width)).maps
        for level, each in zip(backbone.features.levels, maps, strict=True):
            assert each.shape[:2] == (2, level.channels)
            assert each.isfinite().all()
            assert height // level.stride <= each.shape[2] <= -(-height // level.stride)
            assert width // level.stride <= each.shape[3] <= -(-width // level.stride)


@pytest.mark.parametrize("config", [RESNET, TEXTNET, PIXIO, SWIN, MASKFORMER_SWIN], ids=lambda each: each["model_type"])
def test_gradient_reaches_every_parameter_that_takes_one(config: Any) -> None:
    source = plan(config)
    every = every_index(source)
    for indices in (every, every[1:2]):
        backbone = randomise_weights(source.construct(indices))
        maps = backbone(image(*source.canvas)).maps
        torch.stack([(each * torch.randn_like(each)).sum() for each in maps]).sum().backward()
        parameters = dict(backbone.named_parameters())
        assert {name for name, each in parameters.items() if each.requires_grad} == {
            name for name, each in parameters.items() if each.grad is not None
        }
        assert any(each.requires_grad for each in parameters.values())


def test_stages_of_parameters_are_read_from_the_graph() -> None:
    backbone = plan(RESNET).construct([0, 1, 2, 3, 4])
    assert backbone.stage_of("body.embedder.embedder.convolution.weight") == 0
    assert backbone.stage_of("body.embedder.embedder.normalization.running_mean") == 0
    assert backbone.stage_of("body.encoder.stages.0.layers.0.layer.0.convolution.weight") == 1
    assert backbone.stage_of("body.encoder.stages.3.layers.0.layer.0.normalization.running_var") == 4
    bk.freeze(backbone, stages=2, norms=True)
    frozen = {name for name, each in backbone.named_parameters() if not each.requires_grad}
    assert "body.encoder.stages.0.layers.0.layer.0.convolution.weight" in frozen
    assert "body.encoder.stages.1.layers.0.layer.0.convolution.weight" not in frozen


def test_indices_can_be_set_among_those_it_was_built_with() -> None:
    backbone = randomise_weights(plan(SWIN).construct([0, 2]))
    with torch.no_grad():
        expected = backbone(image(32, 32)).maps
        backbone.out_indices = [-1]
        assert_equal(backbone(image(32, 32)).maps, expected[1:])
    assert backbone.features.names == ("stage2",)
    for wrong, message in ([1], "was built to return"), ([2, 0], "not in network order"), ([7], "out of range"):
        with pytest.raises(ContractError, match=message):
            backbone.out_indices = wrong
    assert backbone.out_indices == (2,)


def test_constructs_from_a_seed_without_weights_and_on_meta() -> None:
    state = torch.get_rng_state()
    for config in (PIXIO, TEXTNET, SWIN):
        source = plan(config)
        indices = every_index(source)
        with seeded(3):
            one = source.construct(indices)
        with seeded(3):
            same = source.construct(indices)
        assert torch.equal(torch.get_rng_state(), state)
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, same.state_dict()[name]), name
        with torch.device("meta"):
            assert all(tensor.is_meta for tensor in source.construct(indices).state_dict().values())
        with torch.no_grad():
            expected = one(image(*source.canvas)).maps
            assert_equal(copy.deepcopy(one)(image(*source.canvas)).maps, expected)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    backbone = randomise_weights(plan(PIXIO).construct([3]))
    backbone.train()
    seen = []
    for enabled in (False, True):
        backbone.set_gradient_checkpointing(enabled)
        backbone.zero_grad()
        backbone(image(32, 32)).maps[0].square().mean().backward()
        seen.append([each.grad.clone() for each in backbone.parameters() if each.grad is not None])
        assert any(vars(module).get("gradient_checkpointing") for module in backbone.modules()) is enabled
    assert_equal(seen[1], seen[0])
    with pytest.raises(ContractError, match="no gradient checkpointing for resnet"):
        plan(RESNET).construct([1]).set_gradient_checkpointing()


def test_compiles_as_one_graph() -> None:
    torch._dynamo.reset()
    backbone = randomise_weights(plan(TEXTNET).construct([1, 4]))
    compiled = torch.compile(lambda pixels: backbone(pixels).maps, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_equal(compiled(image(64, 64)), backbone(image(64, 64)).maps)


def test_the_users_configuration_is_never_written_to() -> None:
    given = copy.deepcopy(RESNET)
    source = plan(given)
    source.construct([1, 2])
    source.construct([3])
    assert given == RESNET
    assert source.config == {**RESNET}
    assert plan(source.config).levels == source.levels


@pytest.mark.parity
@pytest.mark.parametrize(
    ("class_name", "config", "indices", "size"),
    [
        ("PixioBackbone", PIXIO, [1, 3], (40, 24)),
        ("TextNetBackbone", TEXTNET, [0, 2, 4], (33, 47)),
        ("PPLCNetBackbone", PP_LCNET, [2, 5], (33, 47)),
        ("ResNetBackbone", RESNET, [0, 1, 2, 3, 4], (33, 47)),
        ("SwinBackbone", SWIN, [1, 2], (33, 47)),
        ("Dinov2Backbone", DINOV2, [1, 3], (33, 47)),
        ("VitPoseBackbone", VITPOSE, [1, 2], (64, 48)),
    ],
)
def test_weights_from_a_folder_are_equal(
    class_name: str, config: Any, indices: list[int], size: tuple[int, int], tmp_path: Path
) -> None:
    theirs = original(class_name, config, tmp_path, out_indices=indices)
    backbone, report = load(plan(None, str(tmp_path)), True, indices)
    assert not report.adapted
    assert not report.missing
    assert not report.surplus
    with torch.no_grad():
        expected = theirs(image(*size)).feature_maps
        if class_name == "VitPoseBackbone":  # tokens
            expected = [each.transpose(1, 2).reshape(2, 16, 4, 3) for each in expected]
        assert_equal(backbone(image(*size)).maps, expected)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("class_name", "config", "size"),
    [
        ("ResNetForImageClassification", {**RESNET, "embedding_size": 64}, (33, 47)),
        ("Dinov2ForImageClassification", DINOV2, (33, 47)),
    ],
)
def test_a_native_family_through_this_source_equals_the_native_one(
    class_name: str, config: Any, size: tuple[int, int], tmp_path: Path
) -> None:
    original(class_name, config, tmp_path, num_labels=3)
    mine, _ = load(plan(None, str(tmp_path)), True, [1, 3])
    native = hf_source.blueprint(str(tmp_path), config=None, revision=None, in_channels=3, args={})
    theirs, _ = load(native, True, [1, 3])
    assert mine.features == theirs.features or config is DINOV2  # ours publishes no prefix tokens
    with torch.no_grad():
        assert_equal(mine(image(*size)).maps, theirs(image(*size)).maps)


def test_norms_of_maps_that_were_never_trained_start_plain(tmp_path: Path) -> None:
    original("SwinForImageClassification", SWIN, tmp_path, num_labels=3)
    backbone, report = load(plan(None, str(tmp_path)), True, [1, 2])
    assert {name.split(".")[1] for name, _ in report.adapted} == {"hidden_states_norms"}
    assert backbone.body.hidden_states_norms["stage2"].weight.eq(1).all()


def test_another_number_of_channels_adapts_the_stem(tmp_path: Path) -> None:
    theirs = original("ResNetBackbone", RESNET, tmp_path)
    backbone, report = load(plan(None, str(tmp_path), in_channels=1), True, [4])
    assert report.adapted == [("body.embedder.embedder.convolution.weight", "summed over 3 input channels for 1")]
    grey = image(64, 64, channels=1)
    with torch.no_grad():
        assert_equal(backbone(grey).maps, theirs(grey.expand(-1, 3, -1, -1)).feature_maps)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    original("ResNetBackbone", RESNET, tmp_path)
    with pytest.raises(RecipeError, match=r"differ in depths: \[1, 1, 1, 1\], \[1, 2, 1, 1\]"):
        plan({**RESNET, "depths": [1, 1, 1, 1]}).checkpoint(str(tmp_path), None, [4])
    with pytest.raises(RecipeError, match="of model_type textnet"):
        plan(TEXTNET).checkpoint(str(tmp_path), None, [4])
    file = str(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"in surplus: encoder\.stages\.1\.layers\.1\."):
        plan({**RESNET, "depths": [1, 1, 1, 1]}).checkpoint(file, None, [4])
    with pytest.raises(WeightsError, match=r"is \[5\], expected \[6\]"):
        plan({**RESNET, "hidden_sizes": [8, 12, 16, 24]}).checkpoint(file, None, [4])
    with pytest.raises(WeightsError, match=r"stages\.2\.layers\.1"):
        load(plan({**RESNET, "depths": [1, 2, 2, 1]}), file, [4])


def maskformer(backbone: dict[str, Any]) -> dict[str, Any]:
    return {
        "backbone": {"source": "transformers", **backbone},
        "neck": {"name": "fpn_pixel_decoder", "channels": 32, "mask_channels": 32},
        "head": {"name": "maskformer", "num_queries": 4, "num_classes": 3},
    }


@pytest.mark.parametrize(
    ("config", "indices"), [(PP_LCNET, (2, 3, 4, 5)), (PIXIO, (3,))], ids=["hierarchical", "plain"]
)
def test_a_maskformer_on_it_is_saved_and_loaded(config: Any, indices: tuple[int, ...], tmp_path: Path) -> None:
    model = bk.build_model(maskformer({"config": config}))
    assert model.recipe.backbone.out_indices == indices
    randomise_weights(model)
    model.save_pretrained(tmp_path)
    again = bk.load_model(tmp_path)
    assert again.recipe == model.recipe
    pixel_values = image(64, 64)
    with torch.no_grad():
        one, other = model(pixel_values), again(pixel_values)
    assert_equal(other.feature_maps, one.feature_maps)
    assert_equal([other.predictions.mask_logits], [one.predictions.mask_logits])


def test_a_model_of_the_same_source_takes_pretrained_weights_and_a_size(tmp_path: Path) -> None:
    theirs = original("VitPoseBackbone", VITPOSE, tmp_path)
    model = bk.build_model({"backbone": {"source": "transformers", "name": str(tmp_path), "pretrained": True}})
    assert model.processor.processing.size == (64, 48)
    with torch.no_grad():
        expected = theirs(image(64, 48)).feature_maps[0]
        assert_equal(model(image(64, 48)).feature_maps, [expected.transpose(1, 2).reshape(2, 16, 4, 3)])
    with pytest.raises(ContractError, match=r"takes images of 64 x 48 only, got 32 x 32"):
        model.backbone(image(32, 32))


def test_what_the_native_source_refuses_is_built_here() -> None:
    for config in ({**RESNET, "hidden_act": "quick_gelu"}, TEXTNET, {**SWIN, "use_absolute_embeddings": True}):
        with pytest.raises(RecipeError, match="source: transformers"):
            hf_source.blueprint(None, config=config, revision=None, in_channels=3, args={})
        assert len(plan(config).levels) == len(plan(config).construct([1]).stage_names)


@pytest.mark.parametrize(
    ("config", "args", "message"),
    [
        ({"model_type": "vit"}, {}, "has no backbone of model_type 'vit'; did you mean"),
        ({}, {}, "backbone.config has no model_type"),
        ({"model_type": "timm_backbone"}, {}, "use source: timm"),
        ({"model_type": "maskformer", "backbone_config": RESNET}, {}, "whole model"),
        ({**RESNET, "depth": [1]}, {}, "backbone.config.depth: resnet has no such field; did you mean 'depths'?"),
        ({**RESNET, "hidden_act": "nonsense"}, {}, "nonsense"),
        ({**RESNET, "depths": "many"}, {}, "takes no such resnet configuration"),
        ({**RESNET, "embedding_size": 10**9}, {}, "given 1000000000, must be a number from -65,536 to 65,536"),
        ({**RESNET, "embedding_size": 10**400}, {}, "given a whole number of about 400 digits, must be a number"),
        ({**RESNET, "depths": [1, 1_025]}, {}, "resnet.depths.1: given 1025, must be a number from -1,024 to 1,024"),
        (RESNET, {"depts": [1]}, "backbone.args.depts: resnet has no such field; did you mean 'depths'?"),
        (RESNET, {"num_channels": 1}, "backbone.args.num_channels"),
    ],
)
def test_refused_configurations_and_arguments(config: Any, args: Any, message: str) -> None:
    with pytest.raises((RecipeError, ContractError)) as caught:
        plan(config, **args)
    assert message in str(caught.value)


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(RecipeError, match="textnet takes images of 3 channels only"):
        plan(TEXTNET, in_channels=1)
    with pytest.raises(ContractError, match=r"takes \[batch, 3, height, width\], got \[2, 4, "):
        plan(RESNET).construct([1])(image(32, 32, channels=4))


def test_a_missing_library_is_reported_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RecipeError, match=r"pip install 'backbonekit\[transformers\]'"):
        bk.build_model({"backbone": {"source": "transformers", "config": RESNET}})


def test_code_that_a_repository_brings_is_not_run(tmp_path: Path) -> None:
    theirs = original("ResNetBackbone", RESNET, tmp_path)
    assert isinstance(theirs, nn.Module)
    config = (tmp_path / "config.json").read_text()
    hostile = '{"auto_map": {"AutoBackbone": "evil.Evil"}, "_attn_implementation": "evil/kernel",' + config[1:]
    (tmp_path / "config.json").write_text(hostile)
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    backbone, _ = load(plan(None, str(tmp_path)), True, [4])
    assert type(backbone.body) is type(theirs)
    assert backbone.body.config._attn_implementation != "evil/kernel"
