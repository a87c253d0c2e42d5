"""Backbones taken out of whole models that transformers saved: their maps are those of the model's own backbone."""

import json
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

transformers = pytest.importorskip("transformers")

from backbonekit.backbones.hf.blueprint import blueprint  # noqa: E402
from backbonekit.hf_models import AutoBackbone  # noqa: E402
from tests.fixed_weights import randomise_weights  # noqa: E402
from tests.parity.test_hf_backbones import assert_same, load  # noqa: E402

pytestmark = pytest.mark.parity

ALL = ["stage1", "stage2", "stage3", "stage4"]
ENCODER = {"encoder_in_channels": [24, 32, 48], "encoder_hidden_dim": 32}
DETR = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
PICKED = {"num_queries": 5, "decoder_in_channels": [32, 32, 32]}
MASKS = {"fpn_feature_size": 32, "mask_feature_size": 32}
NO_TIMM = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
SMALL_NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}


def resnet(out: list[str]) -> Any:
    return transformers.ResNetConfig(hidden_sizes=[64, 64, 128, 128], depths=[1, 1, 1, 1], out_features=out)


def swin() -> Any:
    return transformers.SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 4], window_size=4, image_size=64, out_features=ALL
    )


def convnext() -> Any:
    return transformers.ConvNextConfig(hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 1], out_features=ALL)


def dinov2() -> Any:
    return transformers.Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=56,
        out_features=ALL,
        reshape_hidden_states=False,
    )


def rt_detr() -> Any:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=16, hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 1, 1], layer_type="basic", out_features=ALL[1:]
    )
    return transformers.RTDetrConfig(backbone_config=backbone, **ENCODER, **DETR, **HEADS, **PICKED)


def d_fine() -> Any:
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, 8, 12],
        stage_in_channels=[12, 16, 24, 32],
        stage_mid_channels=[8, 12, 12, 16],
        stage_out_channels=[16, 24, 32, 48],
        stage_num_blocks=[1, 2, 1, 1],
        stage_numb_of_layers=[2, 1, 2, 1],
        out_features=ALL[1:],
    )
    several = {**DETR, "decoder_layers": 3}  # its layers share weights, which one layer alone cannot
    return transformers.DFineConfig(backbone_config=backbone, **ENCODER, **several, **HEADS, **PICKED)


def mask2former(backbone: Any) -> Any:
    return transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        num_attention_heads=2,
        encoder_layers=1,
        decoder_layers=1,
        num_queries=3,
    )


def vitmatte() -> Any:
    backbone = transformers.VitDetConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=64,
        pretrain_image_size=64,
        num_channels=4,
        out_features=["stage2"],
    )
    return transformers.VitMatteConfig(
        backbone_config=backbone,
        hidden_size=32,
        convstream_hidden_sizes=[8, 8, 8],
        fusion_hidden_sizes=[16, 16, 8, 8],
    )


def hybrid_dpt() -> Any:
    backbone = transformers.BitConfig(
        hidden_sizes=[32, 32, 32, 32], depths=[1, 1, 1, 1], embedding_size=16, num_groups=4, out_features=ALL[:3]
    )
    return transformers.DPTConfig(
        is_hybrid=True,
        backbone_config=backbone,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=64,
        backbone_featmap_shape=[1, 32, 4, 4],
        backbone_out_indices=[0, 1, 2, 3],
        **SMALL_NECK,
    )


def vitpose() -> Any:
    backbone = transformers.VitPoseBackboneConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=[64, 48], out_features=["stage2"]
    )
    return transformers.VitPoseConfig(backbone_config=backbone)


# Name: class of the whole model, its configuration, where it keeps its backbone.
MODELS: dict[str, tuple[str, Callable[[], Any], str]] = {
    "rt-detr": ("RTDetrForObjectDetection", rt_detr, "model.backbone.model"),
    "d-fine": ("DFineForObjectDetection", d_fine, "model.backbone.model"),
    "vitpose": ("VitPoseForPoseEstimation", vitpose, "backbone"),
    "upernet-swin": (
        "UperNetForSemanticSegmentation",
        lambda: transformers.UperNetConfig(backbone_config=swin(), hidden_size=16, auxiliary_in_channels=64),
        "backbone",
    ),
    "upernet-convnext": (
        "UperNetForSemanticSegmentation",
        lambda: transformers.UperNetConfig(backbone_config=convnext(), hidden_size=16, auxiliary_in_channels=32),
        "backbone",
    ),
    "mask2former-swin": (
        "Mask2FormerForUniversalSegmentation",
        lambda: mask2former(swin()),
        "model.pixel_level_module.encoder",
    ),
    "mask2former-resnet": (
        "Mask2FormerForUniversalSegmentation",
        lambda: mask2former(resnet(ALL)),
        "model.pixel_level_module.encoder",
    ),
    "maskformer-swin": (
        "MaskFormerForInstanceSegmentation",
        lambda: transformers.MaskFormerConfig(
            backbone_config=swin(), decoder_config=transformers.DetrConfig(**DETR, **HEADS), **MASKS
        ),
        "model.pixel_level_module.encoder",
    ),
    "dpt": (
        "DPTForDepthEstimation",
        lambda: transformers.DPTConfig(backbone_config=dinov2(), **SMALL_NECK),
        "backbone",
    ),
    "dpt-hybrid": ("DPTForDepthEstimation", hybrid_dpt, "dpt.embeddings.backbone"),
    "depth-anything": (
        "DepthAnythingForDepthEstimation",
        lambda: transformers.DepthAnythingConfig(
            backbone_config=dinov2(), reassemble_hidden_size=32, head_hidden_size=8, **SMALL_NECK
        ),
        "backbone",
    ),
    "detr": (
        "DetrForObjectDetection",
        lambda: transformers.DetrConfig(backbone_config=resnet(["stage4"]), **NO_TIMM, **DETR, **HEADS),
        "model.backbone.model",
    ),
    "conditional-detr": (
        "ConditionalDetrForObjectDetection",
        lambda: transformers.ConditionalDetrConfig(backbone_config=resnet(["stage4"]), **NO_TIMM, **DETR, **HEADS),
        "model.backbone.model",
    ),
    "vitmatte": ("VitMatteForImageMatting", vitmatte, "backbone"),
}


def whole_model(key: str) -> tuple[nn.Module, nn.Module, Any]:
    """The whole model, the backbone within it, and that backbone's configuration."""
    name, config, path = MODELS[key]
    whole = randomise_weights(getattr(transformers, name)(config())).eval()
    return whole, attrgetter(path)(whole), whole.config.backbone_config


def image(config: Any) -> torch.Tensor:
    size = config.image_size if config.model_type == "vitpose_backbone" else (75, 98)
    return torch.randn(2, config.num_channels, *size)


def maps_of(theirs: nn.Module, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """As maps, where tokens are given with the class token before them."""
    found = tuple(theirs(pixel_values).feature_maps)
    if theirs.config.model_type != "dinov2":
        return found
    grid = [side // theirs.config.patch_size for side in pixel_values.shape[-2:]]
    return tuple(tokens[:, 1:].transpose(1, 2).unflatten(2, grid) for tokens in found)


@pytest.mark.parametrize("spelling", ["saved", "sharded", "in memory"])
@pytest.mark.parametrize("key", MODELS)
def test_a_backbone_comes_out_of_a_whole_model(key: str, spelling: str, tmp_path: Path) -> None:
    whole, theirs, config = whole_model(key)
    whole.save_pretrained(tmp_path, **({"max_shard_size": "60KB"} if spelling == "sharded" else {}))
    assert (tmp_path / "model.safetensors.index.json").exists() == (spelling == "sharded")
    if spelling == "in memory":
        tensors = {name: tensor.contiguous().clone() for name, tensor in whole.state_dict().items()}
        save_file(tensors, tmp_path / "model.safetensors")
    pixel_values = image(config)
    ours = AutoBackbone.from_pretrained(tmp_path).eval()
    assert ours.out_features == list(config.out_features)
    with torch.no_grad():
        assert_same(ours(pixel_values).feature_maps, maps_of(theirs, pixel_values), 1e-4)
    assert ours.weights.loaded_parameters == ours.weights.total_parameters
    # Norms are those of the maps that the model takes; the others start as they do in transformers.
    taken = tuple(f"norms.{name}." for name in config.out_features)
    assert not [name for name, _ in ours.weights.adapted if name.startswith(taken) or not name.startswith("norms.")]


@pytest.mark.parametrize("key", MODELS)
def test_it_is_a_backbone_by_name_and_weights_of_one_given_by_its_configuration(key: str, tmp_path: Path) -> None:
    whole, theirs, config = whole_model(key)
    whole.save_pretrained(tmp_path)
    pixel_values = image(config)
    indices = list(config.out_indices)
    with torch.no_grad():
        expected = maps_of(theirs, pixel_values)
        if config.num_channels == 3:
            ours, _, _ = load(tmp_path, indices[:1])
            assert_same(ours(pixel_values).maps, expected[:1], 1e-4)
    nested = json.loads((tmp_path / "config.json").read_text())["backbone_config"]
    source = blueprint(None, config=nested, revision=None, in_channels=config.num_channels, args={})
    kept = source.checkpoint(str(tmp_path), None, indices)
    counters = {name for name in source.construct(indices).state_dict() if name.endswith("num_batches_tracked")}
    # Frozen norms count no batches.
    assert set(kept.keys()) | counters == set(source.construct(indices).state_dict())


def test_a_backbone_of_timm_within_is_pointed_to_its_source(tmp_path: Path) -> None:
    from backbonekit.errors import RecipeError

    for fields in (
        {"model_type": "detr", "backbone": "resnet50", "use_timm_backbone": True, "backbone_config": None},
        {"model_type": "detr", "backbone_config": {"model_type": "timm_backbone", "backbone": "resnet50"}},
    ):
        (tmp_path / "config.json").write_text(json.dumps(fields))
        with pytest.raises(RecipeError, match=r"source: timm and name: resnet50"):
            AutoBackbone.from_pretrained(tmp_path)
        with pytest.raises(RecipeError, match="open the model with load_model"):
            blueprint(str(tmp_path), config=None, revision=None, in_channels=3, args={})
