"""Tensors into files: the same bytes for the same tensors."""

import json
import os
from pathlib import Path

import pytest
import torch

from backbonekit.errors import StorageError, WeightsError
from backbonekit.weights.checkpoint import open_checkpoint
from backbonekit.weights.write_tensors import save_tensors


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_round_trip(tmp_path: Path):
    table = torch.rand(4, 6)
    tensors = {
        "b": table.t(),  # not contiguous
        "a.half": torch.rand(3).bfloat16(),
        "a.count": torch.tensor(7),
        "a.flag": torch.tensor([True, False]),
        "slice": table[1:3],  # shares memory with b
        "empty": torch.zeros(0, 3),
        "strided": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "grad": torch.nn.Parameter(torch.rand(2)),
    }
    assert save_tensors(tmp_path, tensors) == ("model.safetensors",)
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint.keys()) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(checkpoint.tensor(name), tensor), name
        assert checkpoint.dtype(name) is tensor.dtype


def test_saved_twice_has_the_same_bytes(tmp_path: Path):
    tensors = {f"layer.{number}.weight": torch.rand(3, number + 1) for number in range(12)}
    for name, limit in (("one", 10**9), ("two", 100)):
        first, second = tmp_path / f"{name}1", tmp_path / f"{name}2"
        first.mkdir()
        second.mkdir()
        save_tensors(first, tensors, max_shard_bytes=limit)
        save_tensors(second, dict(reversed(tensors.items())), max_shard_bytes=limit)
        assert contents(first) == contents(second)


def test_shards(tmp_path: Path):
    tensors = {f"w{number}": torch.rand(10) for number in range(5)}  # 40 bytes each
    names = save_tensors(tmp_path, tensors, max_shard_bytes=80)
    assert names == tuple(f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text())["metadata"] == {"total_size": 200}
    checkpoint = open_checkpoint(tmp_path)
    assert all(torch.equal(checkpoint.tensor(name), tensor) for name, tensor in tensors.items())


def test_tied_tensors_are_written_once(tmp_path: Path):
    value = torch.rand(3, 3)
    save_tensors(tmp_path, {"b": value, "a": value, "t": value.t()})
    assert set(open_checkpoint(tmp_path).keys()) == {"a", "t"}


def test_tensors_without_values_are_refused(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"1 tensors have no values to save .the first is 'b'."):
        save_tensors(tmp_path, {"a": torch.zeros(1), "b": torch.zeros(1, device="meta")})


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(StorageError, match="could not be written"):
        save_tensors(tmp_path / "nowhere", {"a": torch.zeros(1)})


def test_the_files_follow_the_umask(tmp_path: Path):
    """safetensors alone makes files that only their owner can read."""
    before = os.umask(0o027)
    try:
        save_tensors(tmp_path, {"a": torch.zeros(1), "b": torch.zeros(1)}, max_shard_bytes=4)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
