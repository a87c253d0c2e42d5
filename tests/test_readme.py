"""Every command and every Python block of the README runs, in an empty folder, in the README's order; and the commands
of the page on the command line. Trainings are cut short."""

import json
import re
import shlex
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from backbonekit.cli.verbs import VERBS, run_verb
from tests.page_blocks import blocks_of
from tests.test_docs import hub  # noqa: F401

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
IMAGES = 4
SHORT = ["trainer.max_epochs=1", "trainer.num_workers=0", "optimisation.batch_size=2"]


BLOCKS = blocks_of(README)


def commands() -> list[str]:
    blocks = [*BLOCKS, *blocks_of((ROOT / "docs" / "command_line.md").read_text())]
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    in_readme = [line for line in lines if line.startswith("backbonekit ") and line in README]
    return list(dict.fromkeys(in_readme + [line for line in lines if line.startswith("python -m backbonekit.")]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, but for the recipe that the README shows, an image, and a small data set of COCO's format."""
    folder = tmp_path_factory.mktemp("readme")
    for language, block in BLOCKS:
        named = re.match(r"# (\S+\.yaml)\n", block)
        if language == "yaml" and named:
            path = folder / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
    image = Image.linear_gradient("L").resize((90, 60)).convert("RGB")
    image.save(folder / "image.jpg")
    image.save(folder / "photo.jpg")
    (folder / "photos").mkdir()
    entries, boxes = [], []
    for number in range(1, IMAGES + 1):
        image.resize((64, 64)).rotate(90 * number).save(folder / "photos" / f"{number}.jpg")
        entries.append({"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 64})
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [4, 4, 40, 30], "area": 1200})
    content = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    for name in ("train.json", "val.json"):
        (folder / "photos" / name).write_text(json.dumps(content))
    return folder


def shortened(verb: str, words: list[str]) -> list[str]:
    """The same command, with a training of seconds."""
    if verb != "train":
        return words
    few = [f"data.train={IMAGES}", f"data.val={IMAGES}"] if "experiment=digits_detection" in words else []
    return [*words, *few, *SHORT]


def test_commands_were_found():
    assert len(commands()) >= 16
    assert len([command for command in commands() if command.startswith("backbonekit ")]) >= 9


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_commands(folder, hub, monkeypatch, capsys):  # noqa: F811
    """One test for all: a later command reads what an earlier one saved. The Hub is a cache of random checkpoints."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for command in commands():
        _, *words = shlex.split(command.replace("python -m backbonekit.", "backbonekit "))
        code = run_verb(words[0], shortened(words[0], words[1:]))
        captured = capsys.readouterr()
        assert code == 0, f"{command}\n{captured.err}"
        assert captured.out.strip() or words[0] == "train", command
    for made in ("out.png", "digits.html", "scores.json", "features.parquet", "model.onnx"):
        assert (folder / made).stat().st_size > 100, made


def test_python_blocks(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) >= 2
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert (folder / "drawn.png").exists()


def test_it_is_short_and_its_links_lead_somewhere():
    assert len(README.splitlines()) <= 150
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert len(links) > 25
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_are_of_verbs_that_exist():
    named = re.findall(r"^backbonekit ([a-z]+)", README, flags=re.MULTILINE)
    assert len(named) > 8
    assert set(named) <= set(VERBS)


def test_make_targets_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE))
    targets |= {word for words in re.findall(r"`make ([a-z -]+)`", README) for word in words.split()}
    assert {"demo", "test", "example", "docs"} <= targets
    for target in targets:
        assert f"\n{target}:" in makefile, target
