"""Every command and every Python block of the README runs, in an empty folder, in the README's order; and the commands
of the page on the command line."""

import re
import shlex
from pathlib import Path

import pytest
from huggingface_hub import constants
from PIL import Image

from backbonekit.cli.verbs import run_verb
from tests.test_docs import hub  # noqa: F401

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks_of(page: str) -> list[tuple[str, str]]:
    """(language, text) of every block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


BLOCKS = blocks_of(README)


def commands() -> list[str]:
    blocks = [*BLOCKS, *blocks_of((ROOT / "docs" / "command_line.md").read_text())]
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("python -m backbonekit.")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder, but for the recipe that the README shows and an image."""
    folder = tmp_path_factory.mktemp("readme")
    for language, block in BLOCKS:
        named = re.match(r"# (\S+\.yaml)\n", block)
        if language == "yaml" and named:
            path = folder / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
    Image.linear_gradient("L").resize((90, 60)).convert("RGB").save(folder / "image.jpg")
    return folder


def test_commands_were_found():
    assert len(commands()) >= 16


def test_commands(folder, hub, monkeypatch, capsys):  # noqa: F811
    """One test for all: a later command reads what an earlier one saved. The Hub is a cache of random checkpoints."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for command in commands():
        _, _, module, *words = shlex.split(command)
        code = run_verb(module.removeprefix("backbonekit."), words)
        captured = capsys.readouterr()
        assert code == 0, f"{command}\n{captured.err}"
        assert captured.out.strip(), command


def test_python_blocks(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = [block for language, block in BLOCKS if language == "python"]
    assert len(blocks) >= 2
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert (folder / "drawn.png").exists()


def test_make_targets_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE))
    targets |= {word for words in re.findall(r"`make ([a-z -]+)`", README) for word in words.split()}
    assert {"demo", "test", "example"} <= targets
    for target in targets:
        assert f"\n{target}:" in makefile, target
