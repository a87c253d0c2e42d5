"""Pickles are converted once, by hand, and only when they hold tensors."""

import pytest
import torch

from backbonekit.cli.verbs import run_verb
from backbonekit.storage.checkpoint import open_checkpoint


class Evil:
    def __reduce__(self):
        import pathlib

        return pathlib.Path.touch, (pathlib.Path("canary"),)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": {f"module.{name}": tensor for name, tensor in weights.items()}, "optimizer": {}},
        lambda weights: {f"_orig_mod.{name}": tensor for name, tensor in weights.items()},
    ],
)
def test_the_weights_are_found_and_unwrapped(tmp_path, capsys, wrap):
    weights = {"conv.weight": torch.randn(3, 2), "conv.bias": torch.randn(3)}
    torch.save(wrap(weights), tmp_path / "trained.ckpt")
    (tmp_path / "config.json").write_text("{}")
    assert run_verb("convert", [str(tmp_path / "trained.ckpt"), str(tmp_path / "out")]) == 0
    found = open_checkpoint(tmp_path / "out")
    assert set(found.keys()) == set(weights)
    assert torch.equal(found.tensor("conv.weight"), weights["conv.weight"])
    assert (tmp_path / "out" / "config.json").exists()
    assert "2 tensors, 9 numbers" in capsys.readouterr().out


@pytest.mark.parametrize("content", [Evil(), {"state_dict": {"a": torch.ones(1)}, "other": Evil()}])
def test_code_is_refused_and_not_run(tmp_path, capsys, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "evil.pth")
    assert run_verb("convert", ["evil.pth", "out"]) == 2
    assert "holds more than tensors" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "damaged"), (b"no pickle at all", "damaged"), (None, "does not exist")]
)
def test_other_files_are_refused(tmp_path, capsys, content, said):
    if content is not None:
        (tmp_path / "file.bin").write_bytes(content)
    assert run_verb("convert", [str(tmp_path / "file.bin"), str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_a_file_without_names_is_refused(tmp_path, capsys):
    torch.save([torch.ones(2)], tmp_path / "list.pt")
    assert run_verb("convert", [str(tmp_path / "list.pt"), str(tmp_path / "out")]) == 2
    assert "no tensors by name" in capsys.readouterr().err
