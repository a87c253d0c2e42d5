"""docs/troubleshooting.md: each of its commands prints the message that the page shows; `...` there stands for more."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from backbonekit.cli.verbs import main

PAGE = (Path(__file__).parent.parent / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n\$ backbonekit (.*)\n((?:.*\n)*?)```", PAGE, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands name and what is wrong with it."""
    folder = tmp_path_factory.mktemp("trouble")
    (folder / "old.yaml").write_text("schema_version: 9\nbackbone: resnet18\n")
    (folder / "code.yaml").write_text("backbone: resnet18\nhead: {name: fcn, num_classes: 2, _target_: os.system}\n")
    torch.save({"weight": torch.zeros(1)}, folder / "weights.pth")
    (folder / "photos").mkdir()
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "area": 400, "iscrowd": 0}
    images = [{"id": 1, "file_name": "a.jpg", "width": 90, "height": 60}]
    annotations = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": [box]}
    (folder / "photos" / "train.json").write_text(json.dumps(annotations))
    return folder


def test_every_section_has_its_blocks() -> None:
    assert len(BLOCKS) == PAGE.count("```console") >= 20


@pytest.mark.parametrize(("command", "message"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_message_is_printed(command: str, message: str, folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(shlex.split(command)) == 2
    pattern = ".*".join(re.escape(part.rstrip(" ")) for part in message.split("..."))
    printed = capsys.readouterr().err
    assert re.fullmatch(pattern, printed, flags=re.DOTALL), f"printed:\n{printed}"
