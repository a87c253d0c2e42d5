"""The model card: readable by the Hub, silent about this machine."""

import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from huggingface_hub import ModelCard

from backbonekit.contract.processing import Processing
from backbonekit.contract.scores import Scores
from backbonekit.hub.card import CardFacts, model_card, without_local_paths
from backbonekit.hub.card_scores import with_scores
from backbonekit.hub.licences import LICENCES
from backbonekit.postprocessing.results import PREDICTION_KINDS
from backbonekit.weights.repository import open_repository

FACTS = CardFacts(
    name="MaskFormer on Swin-Tiny",
    parts=("backbone: swin, 4 maps", "head: maskformer"),
    weights=("backbone: 28.3M from microsoft/swin-tiny@01234567",),
    licences=("apache-2.0",),
    base_model="microsoft/swin-tiny",
    base_commit="0" * 40,
    pipeline_tag="image-segmentation",
    tags=("swin",),
)


def test_the_header_is_what_the_hub_reads(tmp_path: Path):
    text = model_card(FACTS, Processing(size=(224, 224)))
    (tmp_path / "README.md").write_text(text)
    assert open_repository(tmp_path).licence == "apache-2.0"
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
        licences=("mit\nbase_model: evil",),
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


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ((), []),
        (("mit", "mit"), ['license: "mit"']),
        (
            ("apache-2.0", "CC-BY-NC-4.0"),
            [
                "license: other",
                'license_name: "apache-2.0-and-cc-by-nc-4.0"',
                "license_link: https://huggingface.co/microsoft/swin-tiny",
            ],
        ),
        (
            ("dinov3-license",),
            [
                "license: other",
                'license_name: "dinov3-license"',
                "license_link: https://huggingface.co/microsoft/swin-tiny",
            ],
        ),
    ],
)
def test_the_licence_of_the_base_weights(licences, expected):
    text = model_card(replace(FACTS, licences=licences), Processing())
    header = text.split("---\n")[1].splitlines()
    assert [line for line in header if line.startswith("license")] == expected


def test_several_bases_and_the_names_of_the_classes():
    facts = replace(FACTS, other_bases=("microsoft/swin-tiny", "me/m1"), classes=[f"class {n}" for n in range(205)])
    text = model_card(facts, Processing())
    assert ModelCard(text).data.base_model == ["microsoft/swin-tiny", "me/m1"]
    assert "- 199: class 199\n- and 5 more, in the model's labels\n" in text


def test_the_hubs_own_check_takes_the_card(monkeypatch: pytest.MonkeyPatch):
    """`ModelCard.validate` sends the card to the Hub; what it sends is read here as the Hub reads it."""
    sent = []

    class Session:
        def post(self, address: str, json: dict[str, str], **options: object) -> object:
            sent.append((address, json))
            return httpx.Response(200, request=httpx.Request("POST", address))

    monkeypatch.setattr("huggingface_hub.repocard.get_session", Session)
    scores = Scores(("PQ", 0.5), {"PQ": 0.5}, num_images=9, readings={"": "panoptic"})
    text = with_scores(model_card(FACTS, Processing()), scores, data="photos", data_format="coco", split="val")
    ModelCard(text).validate(repo_type="model")
    ((address, body),) = sent
    assert address.endswith("/api/validate-yaml")
    assert body["repoType"] == "model"
    data = yaml.safe_load(body["content"].split("---\n")[1])
    assert data["license"] in LICENCES
    assert data["pipeline_tag"] in {entry.pipeline_tag for entry in PREDICTION_KINDS.values()}
    assert data["library_name"] == "backbonekit"
    assert re.fullmatch(r"[\w.\-]+/[\w.\-]+", data["base_model"])
    (entry,) = data["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] == "image-segmentation"
    assert {"type", "name"} <= result["dataset"].keys()
    assert [(one["type"], one["value"]) for one in result["metrics"]] == [("PQ", 0.5)]
