"""The pages for four kinds of readers run from their first to their last command, in an empty folder and offline.

The Hub is a cache of random checkpoints under the names that the pages use. Trainings are shorter than on the page; the
slow test runs them as they stand, and holds what the pages say came of them.
"""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.page_blocks import run_page
from tests.test_docs import DOCS, ROLES, hub  # noqa: F401

# Raised inside Lightning.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
]
SHORTER = {
    "student": {
        "max_epochs: 10": "max_epochs: 1",
        "max_epochs=11": "max_epochs=2",
        "trainer.max_steps=50": "trainer.max_steps=1",
        "known[:500], 200": "known[:500], 40",
        "known[500:], 40": "known[500:], 8",
    },
    "engineer": {"timm/resnet50.a1_in1k": "timm/resnet18.a1_in1k"},  # a quarter of the seconds
    "scientist": {"max_epochs: 8": "max_epochs: 1"},
    "teacher": {
        "experiment=digits_detection trainer.max_epochs=2": "experiment=digits_detection data.train=16 data.val=2"
        " trainer.max_epochs=1"
    },
}


@pytest.fixture
def folder(hub, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def exist(folder: Path, names: str) -> None:
    missing = [name for name in names.split() if not (folder / name).exists()]
    assert not missing


def test_the_student(folder):
    printed, _ = run_page(DOCS / "student.md", instead=SHORTER["student"])
    assert "note: 4 classes, those of the data: zero, one, two, three." in printed
    assert "all weights are random at the start" in printed
    assert "epoch 2/2" in printed
    exist(folder, "sheet.png runs/numbers/loss.png plots found.png drawn/0.png drawn/2.png detr.png")
    found = json.loads((folder / "found.json").read_text())
    assert [category["id"] for category in found["categories"]] == [1, 2, 3, 4]


def test_the_engineer(folder):
    """What the page says of the vectors is asserted in its blocks: those of the ONNX file are those of the table."""
    printed, names = run_page(DOCS / "engineer.md", instead=SHORTER["engineer"])
    assert "features.parquet: 12 rows" in printed
    assert "batch x 512" in printed
    assert printed.count(" is most like ") == 5
    assert names["features"].shape == (12, 512)


def test_the_scientist(folder):
    page = (DOCS / "scientist.md").read_text()
    printed, names = run_page(DOCS / "scientist.md", instead=SHORTER["scientist"])
    for line in ("values: 27 to 5847", "processing.mean=[528.5,", "processing.std=[273.4,"):
        assert line in page
        assert line in printed  # what `check` prints is what the page shows
    assert "dropped: not of 6 channels" not in printed
    assert names["found"].shape == (300, 400)
    assert "(500000.0, 4200000.0)" in printed  # the georeference of the scene
    exist(folder, "sheet.png plots covers.png runs/fields/model.safetensors")


def test_the_teacher(folder):
    printed, _ = run_page(DOCS / "teacher.md", instead=SHORTER["teacher"])
    assert "diagram: fcos.svg" in printed
    assert "report: model.html" in printed
    exist(folder, "fcos.svg maskformer.mmd look.png maps.png found.png unsure.png random.png model.html scores.html")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "scores", "metric", "least"),
    [
        ("student", "scores.json", "box_AP", 0.7),  # 0.85 on the page
        ("scientist", "scores.json", "mIoU", 0.95),  # 0.99
        ("teacher", "runs/digits/scores.json", "box_AP", 0.6),  # 0.74 when the page was written
    ],
)
def test_the_pages_reach_what_they_say(role, scores, metric, least, folder):
    run_page(DOCS / f"{role}.md")
    assert json.loads((folder / scores).read_text())["summary"][metric] > least


@pytest.mark.slow
def test_the_engineer_with_the_backbone_of_the_page(folder):
    _, names = run_page(DOCS / "engineer.md")
    assert names["features"].shape == (12, 2048)
