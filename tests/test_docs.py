"""Every Python block of docs/*.md runs, offline, each page's blocks in order and in an empty folder.

The Hub is a cache in a temporary folder: small random checkpoints under the names that the pages use.
"""

import json
import re
from pathlib import Path

import pytest
import timm
from huggingface_hub import constants
from safetensors.torch import save_file

from backbonekit import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    DetrConfig,
    DetrForObjectDetection,
    Dinov2Backbone,
    Dinov2Config,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)
from backbonekit.heads.maskformer.checkpoint import MASKFORMER
from tests.hf_cache import cache_repository
from tests.page_blocks import blocks_of, run_page

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ROLES = ("student", "engineer", "scientist", "teacher")  # run with their commands by test_role_pages.py
SWIN = SwinConfig(embed_dim=96, depths=(1, 1, 1, 1), num_heads=(3, 6, 12, 24))  # the real widths, for the real shapes
PREPROCESSORS = {
    "swin": {"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 3},
    "maskformer": {
        "image_processor_type": "MaskFormerImageProcessor",
        "size": {"shortest_edge": 64, "longest_edge": 96},
        "size_divisor": 32,
        "ignore_index": 255,
    },
    "detr": {
        "image_processor_type": "DetrImageProcessor",
        "size": {"shortest_edge": 64, "longest_edge": 96},
    },
    "depth": {
        "image_processor_type": "DPTImageProcessor",
        "size": {"height": 70, "width": 70},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
    },
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 56}, "do_center_crop": False},
    "pose": {"image_processor_type": "VitPoseImageProcessor", "size": {"height": 64, "width": 48}},
}


def blocks(page: Path) -> list[str]:
    return [block for language, block in blocks_of(page.read_text()) if language == "python"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("hub")
    SwinBackbone(SWIN).save_pretrained(folder / "swin")
    ResNetBackbone(ResNetConfig(hidden_sizes=(64, 64, 96, 96), depths=(1, 1, 1, 1))).save_pretrained(folder / "resnet")
    save_maskformer(folder / "maskformer")
    save_timm(folder / "timm", "resnet50")
    save_timm(folder / "timm_small", "resnet18")
    save_detr(folder / "detr")
    save_depth_anything(folder / "depth")
    save_vitpose(folder / "pose")
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56}
    Dinov2Backbone(Dinov2Config(**small)).save_pretrained(folder / "dinov2")
    for name, content in PREPROCESSORS.items():
        (folder / name / "preprocessor_config.json").write_text(json.dumps(content))
    cache = folder / "cache"
    cache_repository(cache, "microsoft/swin-tiny-patch4-window7-224", folder / "swin")
    cache_repository(cache, "microsoft/resnet-50", folder / "resnet")
    cache_repository(cache, "facebook/maskformer-swin-tiny-coco", folder / "maskformer")
    cache_repository(cache, "facebook/detr-resnet-50", folder / "detr")
    cache_repository(cache, "depth-anything/Depth-Anything-V2-Small-hf", folder / "depth")
    cache_repository(cache, "usyd-community/vitpose-base-simple", folder / "pose")
    cache_repository(cache, "timm/resnet50.a1_in1k", folder / "timm")
    cache_repository(cache, "timm/resnet18.a1_in1k", folder / "timm_small")
    cache_repository(cache, "facebook/dinov2-small", folder / "dinov2")
    return cache


def save_maskformer(folder: Path) -> None:
    """As transformers saves it: its config.json, its names of weights."""
    config = MaskFormerConfig(
        backbone_config=SwinConfig(embed_dim=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 3, 4), window_size=4),
        decoder_config={"d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32},
        fpn_feature_size=32,
        mask_feature_size=32,
        num_labels=4,
    )
    config.save_pretrained(folder)
    weights = MaskFormerForInstanceSegmentation(config).model.state_dict()
    reverse = MASKFORMER.key_map(config.to_dict()).reverse(weights)
    save_file({name: tensor.clone() for name, tensor in reverse.items()}, folder / "model.safetensors")


def save_detr(folder: Path) -> None:
    config = DetrConfig(
        backbone_config=ResNetConfig(hidden_sizes=(16, 16, 24, 32), depths=(1, 1, 1, 1), layer_type="basic"),
        **{"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32},
        num_labels=4,
    )
    DetrForObjectDetection(config).save_pretrained(folder)


def save_vitpose(folder: Path) -> None:
    backbone = VitPoseBackboneConfig(image_size=[64, 48], hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
    VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=3)).save_pretrained(folder)


def save_depth_anything(folder: Path) -> None:
    maps = {"out_indices": (1, 2, 3, 4), "reshape_hidden_states": False}
    backbone = Dinov2Config(hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, **maps)
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[6, 8, 10, 12], fusion_hidden_size=16
    )
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)


def save_timm(folder: Path, name: str) -> None:
    folder.mkdir()
    save_file(timm.create_model(name).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": name}))


def test_pages_were_found() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 10


# Raised inside Lightning on the page of training, which reads four images without workers.
@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in ROLES], ids=lambda page: page.name)
def test_python_blocks(page: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
