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
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    ResNetBackbone,
    ResNetConfig,
    SwinBackbone,
    SwinConfig,
)
from backbonekit.dialects.maskformer import MASKFORMER
from tests.hf_cache import cache_repository

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SWIN = SwinConfig(embed_dim=96, depths=(1, 1, 1, 1), num_heads=(3, 6, 12, 24))  # the real widths, for the real shapes
PREPROCESSORS = {
    "swin": {"image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 3},
    "maskformer": {
        "image_processor_type": "MaskFormerImageProcessor",
        "size": {"shortest_edge": 64, "longest_edge": 96},
        "size_divisor": 32,
        "ignore_index": 255,
    },
}


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("hub")
    SwinBackbone(SWIN).save_pretrained(folder / "swin")
    ResNetBackbone(ResNetConfig(hidden_sizes=(64, 64, 96, 96), depths=(1, 1, 1, 1))).save_pretrained(folder / "resnet")
    save_maskformer(folder / "maskformer")
    save_timm(folder / "timm", "resnet50")
    for name, content in PREPROCESSORS.items():
        (folder / name / "preprocessor_config.json").write_text(json.dumps(content))
    cache = folder / "cache"
    cache_repository(cache, "microsoft/swin-tiny-patch4-window7-224", folder / "swin")
    cache_repository(cache, "microsoft/resnet-50", folder / "resnet")
    cache_repository(cache, "facebook/maskformer-swin-tiny-coco", folder / "maskformer")
    cache_repository(cache, "timm/resnet50.a1_in1k", folder / "timm")
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


def save_timm(folder: Path, name: str) -> None:
    folder.mkdir()
    save_file(timm.create_model(name).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": name}))


def test_pages_were_found() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks(page: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    namespace: dict[str, object] = {}
    for block in blocks(page):
        exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
