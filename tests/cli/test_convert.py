"""Pickles are converted once, by hand, and only when they hold tensors."""

import argparse
import json

import pytest
import torch

from backbonekit.cli.verbs import run_verb
from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import open_checkpoint


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
        # mmengine
        lambda weights: {"meta": {"epoch": 3, "dataset_meta": {"CLASSES": ("a",)}}, "state_dict": weights},
        # timm, with the averaged weights and the command line that it was trained with
        lambda weights: {
            "state_dict": {name: tensor + 1 for name, tensor in weights.items()},
            "state_dict_ema": weights,
            "args": argparse.Namespace(lr=0.1),
        },
        # RT-DETR
        lambda weights: {"model": {"conv.weight": torch.zeros(1)}, "ema": {"module": weights, "updates": 9}},
        # Lightning, compiled
        lambda weights: {
            "pytorch-lightning_version": "2.6.0",
            "state_dict": {f"model._orig_mod.{name}": tensor for name, tensor in weights.items()},
            "hyper_parameters": {"lr": 0.1},
        },
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


def test_what_was_taken_is_said(tmp_path, capsys):
    weights = {"net.conv.weight": torch.randn(3, 2), "net.conv.bias": torch.randn(3)}
    torch.save({"pytorch-lightning_version": "2.6.0", "state_dict": weights}, tmp_path / "last.ckpt")
    assert run_verb("convert", [str(tmp_path / "last.ckpt"), str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "taken from state_dict in last.ckpt" in said
    assert "prefix 'net.' removed from 2 names" in said


def test_a_prefix_that_most_names_have_is_removed_and_the_rest_is_named(tmp_path, capsys):
    weights = {f"net.{index}.weight": torch.ones(1) for index in range(9)} | {"loss.weight": torch.ones(1)}
    torch.save({"pytorch-lightning_version": "2.6.0", "state_dict": weights}, tmp_path / "last.ckpt")
    assert run_verb("convert", [str(tmp_path / "last.ckpt"), str(tmp_path / "out")]) == 0
    assert set(open_checkpoint(tmp_path / "out").keys()) == {*(f"{index}.weight" for index in range(9)), "loss.weight"}
    assert "1 names without it are left as they are: loss.weight" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        # A first word that all share is the model's own where nobody says that it is a wrapper's.
        {"model.conv.weight": torch.ones(1), "model.conv.bias": torch.ones(1)},
        # And Lightning's where other attributes have tensors too.
        {
            "pytorch-lightning_version": "2.6.0",
            "state_dict": {"model.conv.weight": torch.ones(1), "loss.weight": torch.ones(1)},
        },
    ],
)
def test_names_that_are_the_models_own_stay(tmp_path, content):
    torch.save(content, tmp_path / "file.pt")
    assert run_verb("convert", [str(tmp_path / "file.pt"), str(tmp_path / "out")]) == 0
    assert set(open_checkpoint(tmp_path / "out").keys()) == set(content.get("state_dict", content))


def test_two_tensors_of_one_name_are_refused(tmp_path, capsys):
    torch.save({"module.a": torch.ones(1), "a": torch.zeros(1)}, tmp_path / "file.pt")
    assert run_verb("convert", [str(tmp_path / "file.pt"), str(tmp_path / "out")]) == 2
    assert "both 'a' without" in capsys.readouterr().err


def write_folder(folder, weights, *, sharded):
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if not sharded:
        torch.save(weights, folder / "pytorch_model.bin")
        return
    names = sorted(weights)
    files = {name: f"pytorch_model-{number:05d}-of-{len(names):05d}.bin" for number, name in enumerate(names, 1)}
    for name, file in files.items():
        torch.save({name: weights[name]}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_folder_of_transformers(tmp_path, sharded):
    """As published before safetensors: refused with the command that makes it readable; then equal to the original."""
    transformers = pytest.importorskip("transformers")
    from backbonekit import AutoBackbone

    config = transformers.ResNetConfig(hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    theirs = transformers.ResNetModel(config).eval()
    write_folder(tmp_path / "old", theirs.state_dict(), sharded=sharded)
    (tmp_path / "old" / "config.json").write_text(config.to_json_string())
    with pytest.raises(WeightsError, match=r"only pytorch_model.* `backbonekit convert FILE DIR`"):
        AutoBackbone.from_pretrained(tmp_path / "old", out_indices=(2,))
    assert run_verb("convert", [str(tmp_path / "old"), str(tmp_path / "new")]) == 0
    ours = AutoBackbone.from_pretrained(tmp_path / "new", out_indices=(2,))
    pixel_values = torch.randn(1, 3, 65, 43)
    with torch.no_grad():
        expected = theirs(pixel_values).last_hidden_state
        torch.testing.assert_close(ours(pixel_values).feature_maps[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard", ["../outside.bin", "/etc/passwd", "a/b.bin", "model.safetensors", 7])
def test_an_index_points_nowhere_else(tmp_path, capsys, shard):
    torch.save({"b": torch.ones(1)}, tmp_path / "outside.bin")
    write_folder(tmp_path / "old", {"a": torch.ones(1)}, sharded=True)
    index = tmp_path / "old" / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin", "b": shard}}))
    assert run_verb("convert", [str(tmp_path / "old"), str(tmp_path / "new")]) == 2
    assert "a shard is a .bin file beside its index" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_missing_shards_and_tensors_are_reported(tmp_path, capsys):
    write_folder(tmp_path / "old", {"a": torch.ones(1), "b": torch.ones(1)}, sharded=True)
    torch.save({"c": torch.ones(1)}, tmp_path / "old" / "pytorch_model-00002-of-00002.bin")
    assert run_verb("convert", [str(tmp_path / "old"), str(tmp_path / "new")]) == 2
    assert "lists 'b', which no shard holds" in capsys.readouterr().err
    (tmp_path / "old" / "pytorch_model-00002-of-00002.bin").unlink()
    assert run_verb("convert", [str(tmp_path / "old"), str(tmp_path / "new")]) == 2
    assert "pytorch_model-00002-of-00002.bin' does not exist" in capsys.readouterr().err


def test_the_one_file_of_a_folder(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    words = [str(tmp_path / "run"), str(tmp_path / "new")]
    assert run_verb("convert", words) == 2
    assert "no pickled weights" in capsys.readouterr().err
    torch.save({"a": torch.ones(1)}, tmp_path / "run" / "best.pth")
    assert run_verb("convert", words) == 0
    torch.save({"a": torch.ones(1)}, tmp_path / "run" / "last.pth")
    assert run_verb("convert", words) == 2
    assert "several pickled files: best.pth, last.pth" in capsys.readouterr().err


@pytest.mark.parametrize("content", [Evil(), {"state_dict": {"a": torch.ones(1)}, "other": Evil()}])
def test_code_is_refused_and_not_run(tmp_path, capsys, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "evil.pth")
    assert run_verb("convert", ["evil.pth", "out"]) == 2
    assert "holds more than tensors" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "it is empty"), (b"no pickle at all", "damaged"), (None, "does not exist")]
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
