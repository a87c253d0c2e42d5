"""Every way to save, killed at each of its file operations, and once on a full disk: the whole old content is there, or
the whole new one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import resource
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import torch

import backbonekit as bk
from backbonekit.cli.convert import main as convert
from backbonekit.errors import StorageError
from backbonekit.weights.checkpoint import open_checkpoint
from tests.security.tried.weights import SMALL
from tests.weights.killed_saves import folders_after_a_kill

where = Path(sys.argv[1])
old = where / "m1"


def check(save, seen):
    states = []
    for folder in folders_after_a_kill(old, save):
        states.append(seen(folder))
        assert (folder / "mine.txt").read_text() == "mine"
        save(folder)
        assert seen(folder) == "new"
        left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
        assert not left, left
    assert states == sorted(states, reverse=True), states
    assert states.count("old") > 2 and states.count("new") > 0, states
    full = where / "full"
    shutil.copytree(old, full)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))  # bytes a file, as the system enforces it
    with suppress(StorageError):
        save(full)
        raise AssertionError("saved without room")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert seen(full) == "old"
    assert sorted(path.name for path in full.iterdir()) == sorted(path.name for path in old.iterdir())
"""
WAYS = {
    "a model": """
model = bk.build_model(SMALL)
model.save_pretrained(old)
(old / "mine.txt").write_text("mine")
with torch.no_grad():
    next(model.parameters()).fill_(3)
check(
    lambda folder: model.save_pretrained(folder),
    lambda folder: "new" if (next(bk.load_model(folder).parameters()) == 3).all() else "old",
)
""",
    "a backbone of the Hugging Face guide": """
backbone = bk.ConvNextBackbone(bk.ConvNextConfig(hidden_sizes=[4, 4, 8, 8], depths=[1, 1, 1, 1]))
backbone.save_pretrained(old)
(old / "mine.txt").write_text("mine")
with torch.no_grad():
    next(backbone.parameters()).fill_(3)
check(
    lambda folder: backbone.save_pretrained(folder),
    lambda folder: "new" if (next(bk.AutoBackbone.from_pretrained(folder).parameters()) == 3).all() else "old",
)
""",
    "convert": """
torch.save({"a": torch.ones(2)}, where / "x.bin")
convert([str(where / "x.bin"), str(old)])
(old / "mine.txt").write_text("mine")
torch.save({"b": torch.ones(2)}, where / "x.bin")
check(
    lambda folder: convert([str(where / "x.bin"), str(folder)]),
    lambda folder: {"a": "old", "b": "new"}[open_checkpoint(folder).keys()[0]],
)
""",
    "a file of results": """
from backbonekit.postprocessing.writing import write_file

old.mkdir()
(old / "mine.txt").write_text("mine")
write_file(old / "results.json", b"old")
check(
    lambda folder: write_file(folder / "results.json", b"new"),
    lambda folder: (folder / "results.json").read_text(),
)
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks processes to kill them")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_killed_saves(way: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", START + way, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3_000:]
