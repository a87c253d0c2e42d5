"""The model card: readable by the Hub, silent about this machine."""

from pathlib import Path

import pytest

from backbonekit.contract.processing import Processing
from backbonekit.hub.card import CardFacts, model_card, without_local_paths
from backbonekit.weights.repository import open_repository

FACTS = CardFacts(
    name="MaskFormer on Swin-Tiny",
    parts=("backbone: swin, 4 maps", "head: maskformer"),
    weights=("backbone: 28.3M from microsoft/swin-tiny@01234567",),
    licence="apache-2.0",
    base_model="microsoft/swin-tiny",
    base_commit="0" * 40,
    pipeline_tag="image-segmentation",
    tags=("swin",),
)


def test_the_header_is_what_the_hub_reads(tmp_path: Path):
    text = model_card(FACTS, Processing(size=(224, 224)))
    (tmp_path / "README.md").write_text(text)
    assert open_repository(tmp_path).licence == "apache-2.0"
    from huggingface_hub import ModelCard

    data = ModelCard(text).data
    assert data.license == "apache-2.0"
    assert data.base_model == "microsoft/swin-tiny"
    assert data.library_name == "backbonekit"
    assert data.pipeline_tag == "image-segmentation"
    assert data.tags == ["backbonekit", "swin"]


def test_the_card_says_what_a_user_needs():
    text = model_card(FACTS, Processing(shortest_edge=256, crop=(224, 224), canvas=(240, 240), size_divisor=8))
    for part in (
        "# MaskFormer on Swin-Tiny",
        "- backbone: swin, 4 maps",
        'bk.load_model("PATH_OR_HUB_ID")',
        "the shorter side has 256 pixels",
        "multiples of 8",
        "Centre crop of 224 x 224",
        "Padded to 240 x 240",
        "mean (0.485, 0.456, 0.406)",
        "from microsoft/swin-tiny@01234567",
        f"microsoft/swin-tiny at commit {'0' * 40}",
    ):
        assert part in text, part


def test_names_from_others_stay_text():
    facts = CardFacts(
        name="<script>x</script>\n---\nlicense: mit",
        licence="mit\nbase_model: evil",
        base_model="../../etc",
        pipeline_tag="x\ny",
        tags=("a b", "\x1b[31m"),
    )
    text = model_card(facts, Processing())
    assert "<script>" not in text
    assert "\x1b" not in text
    assert text.count("\n---\n") == 1
    assert text.startswith('---\nlibrary_name: backbonekit\ntags:\n  - "backbonekit"\n---\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from /data/me/weights.safetensors, whole", "from weights.safetensors, whole"),
        ("from ~/runs/m1", "from m1"),
        (f"in {Path.home()}/x/y", "in y"),
        (r"in C:\Users\me\model", "in model"),
        ("from microsoft/resnet-50@01234567", "from microsoft/resnet-50@01234567"),
        ("see https://huggingface.co/me/m1", "see https://huggingface.co/me/m1"),
        ("8 / 4 maps", "8 / 4 maps"),
        ("and/or", "and/or"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, expected: str):
    assert without_local_paths(text) == expected
