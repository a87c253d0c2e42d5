"""Backbones of transformers against transformers: every map, odd sizes, both precisions, both ways."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from backbonekit.backbones.hf.blueprint import HFBlueprint, blueprint
from backbonekit.backbones.hf.model_types import family
from backbonekit.weights.checkpoint import checkpoint_of
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import FillReport, fill
from tests.fixed_weights import randomise_weights
from tests.parity import convolutional_configs, transformer_configs
from tests.parity.hiera_order import hiera_as_in_its_whole_model

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet-bottleneck": ("ResNetConfig", {"hidden_sizes": [32, 64, 128, 256], "depths": [2, 1, 2, 1]}),
    "resnet-basic-early-gelu": (
        "ResNetConfig",
        {
            "hidden_sizes": [64, 80, 96],
            "depths": [2, 1, 1],
            "layer_type": "basic",
            "downsample_in_first_stage": True,
            "hidden_act": "gelu",
        },
    ),
    "resnet-basic-lone-block": ("ResNetConfig", {"hidden_sizes": [64], "depths": [1], "layer_type": "basic"}),
    "resnet-both-flags": (
        "ResNetConfig",
        {
            "hidden_sizes": [64, 64, 128],
            "depths": [1, 1, 2],
            "downsample_in_first_stage": True,
            "downsample_in_bottleneck": True,
        },
    ),
    "swin": ("SwinConfig", {"embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "window_size": 4}),
    "swin-fine-deep": (
        "SwinConfig",
        {
            "embed_dim": 16,
            "depths": [1, 3, 2, 2],
            "num_heads": [1, 2, 4, 8],
            "window_size": 7,
            "patch_size": 2,
            "qkv_bias": False,
            "layer_norm_eps": 1e-3,
            "mlp_ratio": 2.5,
            "image_size": 64,
        },
    ),
    "maskformer-swin": (
        "MaskFormerSwinConfig",
        {"embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "window_size": 5},
    ),
    "dinov2": (
        "Dinov2Config",
        {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56},
    ),
    "dinov2-gated": (
        "Dinov2Config",
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "patch_size": 8,
            "use_swiglu_ffn": True,
            "qkv_bias": False,
            "layerscale_value": 0.1,
        },
    ),
    "dinov2-unnormed": (
        "Dinov2Config",
        {
            "hidden_size": 30,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 48,
            "patch_size": 12,
            "mlp_ratio": 3,
            "apply_layernorm": False,
            "layer_norm_eps": 1e-4,
        },
    ),
    "dinov2-with-registers": (
        "Dinov2WithRegistersConfig",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 64,
            "num_register_tokens": 3,
        },
    ),
    "dinov2-without-registers": (
        "Dinov2WithRegistersConfig",
        {
            "hidden_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 60,
            "patch_size": 12,
            "num_register_tokens": 0,
            "use_swiglu_ffn": True,
            "apply_layernorm": False,
        },
    ),
}
ONE_OF_EACH = ("resnet-bottleneck", "swin", "maskformer-swin", "dinov2", "dinov2-gated", "dinov2-with-registers")
CONFIGS |= convolutional_configs.CONFIGS | transformer_configs.CONFIGS
ONE_OF_EACH += convolutional_configs.ONE_OF_EACH + transformer_configs.ONE_OF_EACH
WITHOUT = {
    "Model": {*convolutional_configs.WITHOUT_MODEL, *transformer_configs.WITHOUT_MODEL},
    "ForImageClassification": {
        "maskformer-swin",
        *convolutional_configs.WITHOUT_CLASSIFIER,
        *transformer_configs.WITHOUT_CLASSIFIER,
    },
}
SIZES = ((64, 64), (131, 87), (97, 64), (60, 60))


def oracle_config(key: str, **changes: Any) -> Any:
    name, fields = CONFIGS[key]
    return getattr(transformers, name)(**{**fields, **changes})


@pytest.fixture(autouse=True)
def _hiera_as_in_its_whole_model() -> Iterator[None]:
    with hiera_as_in_its_whole_model():
        yield


def fitting(config: Any, height: int, width: int) -> tuple[int, int]:
    """The size, or the only one that the model takes."""
    if config.model_type not in transformer_configs.OF_ONE_SIZE:
        return height, width
    size = config.image_size
    return (size, size) if isinstance(size, int) else tuple(size)


def every_index(config: Any) -> list[int]:
    return list(range(1 if config.model_type == "maskformer-swin" else 0, len(config.stage_names)))


def oracle(key: str, indices: list[int] | None = None) -> nn.Module:
    """Of the class itself: AutoBackbone of transformers 5.23 opens no local folder."""
    config = oracle_config(key)
    config.out_indices = every_index(config) if indices is None else indices
    model = transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)](config)
    return randomise_weights(model).eval()


def load(folder: Path, indices: list[int], **args: Any) -> tuple[nn.Module, FillReport, HFBlueprint]:
    source = blueprint(str(folder), config=None, revision=None, in_channels=3, args=args)
    checkpoint = source.checkpoint(True, None, indices)
    with without_weights():
        backbone = source.construct(indices)
    report = fill(backbone, checkpoint, adapt=source.adapt)
    finish(backbone)
    return backbone, report, source


def assert_same(given: tuple[Tensor, ...], expected: tuple[Tensor, ...], tolerance: float) -> None:
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        if other.ndim == 3:  # of vitpose_backbone, tokens without a grid
            other = other.transpose(1, 2).unflatten(2, one.shape[-2:])
        assert one.shape == other.shape
        scale = other.abs().max()
        assert (one - other).abs().max() <= tolerance * scale


@pytest.mark.parametrize("name", sorted({name for name, _ in CONFIGS.values()}))
def test_defaults_are_those_of_transformers(name: str) -> None:
    theirs = getattr(transformers, name)()
    for field, value in family(theirs.model_type).config_class().to_mapping().items():
        default = getattr(theirs, field)
        assert value == (list(default) if isinstance(default, tuple) else default), field


@pytest.mark.parametrize("key", CONFIGS)
def test_every_map_is_equal(key: str, tmp_path: Path) -> None:
    theirs = oracle(key)
    theirs.save_pretrained(tmp_path)
    ours, report, _ = load(tmp_path, every_index(theirs.config))
    assert report.adapted == []
    assert report.loaded_parameters == report.total_parameters
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-10)):
        theirs.to(dtype), ours.to(dtype)
        for size in SIZES:
            pixel_values = torch.randn(2, 3, *fitting(theirs.config, *size), dtype=dtype)
            with torch.no_grad():
                assert_same(ours(pixel_values).maps, theirs(pixel_values).feature_maps, tolerance)
    with torch.no_grad():
        assert list(ours.features.channels) == [
            each.shape[1 if each.ndim == 4 else 2] for each in theirs(pixel_values).feature_maps
        ]
    if theirs.config.model_type != "hgnet_v2":  # which publishes what its maps have not
        assert list(ours.features.channels) == list(theirs.channels)
    assert list(ours.stage_names) == list(theirs.stage_names)


@pytest.mark.parametrize("key", CONFIGS)
def test_each_cut_is_equal_and_reads_no_more_than_it_needs(key: str, tmp_path: Path) -> None:
    theirs = oracle(key)
    theirs.save_pretrained(tmp_path)
    pixel_values = torch.randn(1, 3, *fitting(theirs.config, 75, 52))
    with torch.no_grad():
        expected = theirs(pixel_values).feature_maps
    for position, index in enumerate(every_index(theirs.config)):
        ours, _, source = load(tmp_path, [index])
        with torch.no_grad():
            assert_same(ours(pixel_values).maps, (expected[position],), 1e-4)
        assert set(source.checkpoint(True, None, [index]).keys()) == set(ours.state_dict())


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_gradients_are_equal(key: str, tmp_path: Path) -> None:
    theirs = oracle(key)
    theirs.save_pretrained(tmp_path)
    ours, _, source = load(tmp_path, every_index(theirs.config))
    theirs.double(), ours.double()
    pixel_values = torch.randn(2, 3, *fitting(theirs.config, 67, 50), dtype=torch.float64, requires_grad=True)
    for maps in (theirs(pixel_values).feature_maps, ours(pixel_values).maps):
        torch.stack([(each * torch.cos(each)).sum() for each in maps]).sum().backward()
    key_map = family(theirs.config.model_type).key_map(source.architecture)
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    expected = key_map.translate(checkpoint_of(gradients, origin="gradients"))
    assert set(expected.keys()) == {name for name, _ in ours.named_parameters()}
    for name, parameter in ours.named_parameters():
        # Of the keys' bias the gradient is zero but for rounding, so the scale is never less than 1.
        scale = expected.tensor(name).abs().max().clamp(min=1.0)
        assert (parameter.grad - expected.tensor(name)).abs().max() <= 1e-10 * scale, name


@pytest.mark.parametrize("key", ONE_OF_EACH)
@pytest.mark.parametrize("whole", ["Model", "ForImageClassification"])
def test_whole_models_are_read_too(key: str, whole: str, tmp_path: Path) -> None:
    config = oracle_config(key)
    config.out_indices = every_index(config)
    name = type(config).__name__.replace("Config", whole)
    if not hasattr(transformers, name):
        assert config.model_type in WITHOUT[whole]
        return
    model = randomise_weights(getattr(transformers, name)(config)).eval()
    model.save_pretrained(tmp_path / "whole")
    theirs = transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(tmp_path / "whole").eval()
    ours, report, source = load(tmp_path / "whole", every_index(config))
    pixel_values = torch.randn(1, 3, *fitting(config, 70, 90))
    with torch.no_grad():
        assert_same(ours(pixel_values).maps, theirs(pixel_values).feature_maps, 1e-4)
    # These checkpoints hold no norms of the maps; they start as they do in transformers, and the report says so.
    assert all(name.startswith("norms.") for name, _ in report.adapted)
    assert bool(report.adapted) == (source.norm == "per_stage")


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_names_in_memory_are_read_too(key: str, tmp_path: Path) -> None:
    theirs = oracle(key)
    theirs.save_pretrained(tmp_path)
    save_file({name: t.contiguous() for name, t in theirs.state_dict().items()}, tmp_path / "model.safetensors")
    ours, _, _ = load(tmp_path, every_index(theirs.config))
    pixel_values = torch.randn(1, 3, *fitting(theirs.config, 50, 61))
    with torch.no_grad():
        assert_same(ours(pixel_values).maps, theirs(pixel_values).feature_maps, 1e-4)


@pytest.mark.parametrize("key", CONFIGS)
def test_what_we_write_loads_in_transformers(key: str, tmp_path: Path) -> None:
    config = oracle_config(key)
    config.out_indices = every_index(config)
    config.save_pretrained(tmp_path)
    source = blueprint(None, config=config.to_dict(), revision=None, in_channels=3, args={})
    ours = randomise_weights(source.construct(every_index(config))).eval()
    key_map = family(config.model_type).key_map(source.architecture)
    save_file(key_map.reverse(ours.state_dict()), tmp_path / "model.safetensors", {"format": "pt"})
    backbone_class = transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)]
    theirs, info = backbone_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    # What has no part in the maps: a token for masked training, the norm of the pooled output, position indices.
    idle = ("mask_token", "swin.layernorm", "model.layernorm", "relative_position_index", *convolutional_configs.IDLE)
    if config.model_type.startswith("dinov2") and not config.apply_layernorm:
        idle += ("layernorm",)
    if not getattr(config, "num_register_tokens", 1):
        idle += ("embeddings.register_tokens",)  # a tensor of none
    assert all(any(name.startswith(part) or part in name for part in idle) for name in info["missing_keys"])
    pixel_values = torch.randn(1, 3, *fitting(config, 71, 58))
    with torch.no_grad():
        assert_same(ours(pixel_values).maps, theirs.eval()(pixel_values).feature_maps, 1e-4)


@pytest.mark.parametrize(
    "key",
    [
        *("swin-fine-deep", "maskformer-swin", "dinov2"),
        *convolutional_configs.WITH_STOCHASTIC_DEPTH,
        *transformer_configs.WITH_STOCHASTIC_DEPTH,
    ],
)
def test_stochastic_depth_is_where_transformers_has_it(key: str, tmp_path: Path) -> None:
    config = oracle_config(key, drop_path_rate=0.3)
    theirs = transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)](config)
    rates = [module.drop_prob for module in theirs.modules() if type(module).__name__.endswith("DropPath")]
    source = blueprint(None, config=config.to_dict(), revision=None, in_channels=3, args={})
    # transformers runs one module for both branches
    uses = 2 if key.startswith(("dinov2", "focalnet")) or key in transformer_configs.WITH_STOCHASTIC_DEPTH else 1
    for last in (len(config.stage_names) - 1, 2):
        ours = source.construct([last])
        given = [module.drop_prob for module in ours.modules() if type(module).__name__ == "DropPath"]
        expected = [rate for rate in rates for _ in range(uses)][: len(given)]
        assert given == pytest.approx(expected)
        assert given


@pytest.mark.parametrize("key", ONE_OF_EACH)
def test_training_without_chance_is_equal(key: str, tmp_path: Path) -> None:
    config = oracle_config(key)
    if hasattr(config, "drop_path_rate"):
        config.drop_path_rate = 0.0
    config.out_indices = every_index(config)
    theirs = randomise_weights(transformers.MODEL_FOR_BACKBONE_MAPPING[type(config)](config)).eval()
    theirs.save_pretrained(tmp_path)
    ours, _, _ = load(tmp_path, every_index(config))
    pixel_values = torch.randn(3, 3, *fitting(config, 66, 65))
    assert_same(ours.train()(pixel_values).maps, theirs.train()(pixel_values).feature_maps, 1e-4)


def test_an_old_checkpoint_with_counted_positions_is_read(tmp_path: Path) -> None:
    theirs = oracle("swin")
    theirs.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    for stage in range(3):
        for block in range(2):
            name = f"encoder.layers.{stage}.blocks.{block}.attention.self.relative_position_index"
            tensors[name] = torch.zeros(16, 16, dtype=torch.int64)
    save_file(tensors, tmp_path / "model.safetensors")
    ours, _, _ = load(tmp_path, every_index(theirs.config))
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_same(ours(pixel_values).maps, theirs(pixel_values).feature_maps, 1e-4)
