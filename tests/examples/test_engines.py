"""The four examples with an engine each: short, and they train, save and print a falling number of steps."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest

import backbonekit as bk

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WORDS = {
    "train_plain": ["--steps", "2", "--batch", "2"],
    "train_lightning": ["--epochs", "1", "--images", "16"],
    "train_accelerate": ["--steps", "2", "--batch", "2"],
    "train_hf_trainer": ["--steps", "2", "--batch", "2"],
}
ENGINES = {"train_lightning": "lightning", "train_accelerate": "accelerate", "train_hf_trainer": "transformers"}


@pytest.mark.parametrize("name", WORDS)
def test_it_trains_and_saves(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip(ENGINES.get(name, "torch"))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr(sys, "argv", [name, *WORDS[name], "--folder", str(tmp_path / "model")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those that the engines raise about their own arguments
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert f"saved to {tmp_path / 'model'}" in capsys.readouterr().out
    trained, fresh = bk.load_model(tmp_path / "model"), bk.build_model("fcos_digits")
    moved = [key for key, value in trained.named_parameters() if not value.equal(dict(fresh.named_parameters())[key])]
    assert len(moved) > 0.9 * len(list(fresh.parameters()))


@pytest.mark.parametrize("name", WORDS)
def test_it_is_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 60
