"""Malformed and hostile safetensors files are refused with a message; whole ones are read lazily."""

import pickle
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backbonekit.errors import StorageError, WeightsError
from backbonekit.weights.stored_tensors import read_safetensors
from tests.weights.conftest import safetensors_bytes

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

MALFORMED = {
    "empty": b"",
    "seven bytes": b"\x02\0\0\0\0\0\0",
    "header cut off": safetensors_bytes({"a": ENTRY}, length=5_000),
    "huge header": safetensors_bytes({"a": ENTRY}, bytes(8), length=2**62),
    "data cut off": safetensors_bytes({"a": ENTRY}, bytes(7)),
    "trailing bytes": safetensors_bytes({"a": ENTRY}, bytes(9)),
    "no JSON": safetensors_bytes("{nonsense", bytes(8)),
    "no UTF-8": b"\x04\0\0\0\0\0\0\0\xff\xfe\xfd\xfc",
    "a list": safetensors_bytes("[1, 2]"),
    "duplicate key": safetensors_bytes(
        '{"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        ' "a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "overlap": safetensors_bytes({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
    "hole": safetensors_bytes({"a": ENTRY, "b": {**ENTRY, "data_offsets": [16, 24]}}, bytes(24)),
    "shape and size differ": safetensors_bytes({"a": {**ENTRY, "shape": [3]}}, bytes(8)),
    "shape overflows": safetensors_bytes({"a": {**ENTRY, "shape": [2**62, 2**62]}}, bytes(8)),
    "negative shape": safetensors_bytes({"a": {**ENTRY, "shape": [-2]}}, bytes(8)),
    "unknown dtype": safetensors_bytes({"a": {**ENTRY, "dtype": "F33"}}, bytes(8)),
    "entry is text": safetensors_bytes({"a": "F32"}, bytes(8)),
    "entry without shape": safetensors_bytes({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "deep nesting": safetensors_bytes("[" * 100_000),
    "a pickle": pickle.dumps({"a": 1}),
    "a zip of pickles": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, content: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model.safetensors"):
        read_safetensors(path)


def test_a_renamed_pickle_is_distinguished_from_a_broken_file(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(WeightsError, match=r"backbonekit convert FILE DIR"):
        read_safetensors(path)


def test_too_many_tensors_are_refused_at_once(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    path.write_bytes(safetensors_bytes("{" + ",".join(f'"{n}":{entry}' for n in range(200_000)) + "}"))
    started = time.process_time()
    with pytest.raises(WeightsError, match=r"200,000 tensors; at most 50,000"):
        read_safetensors(path)
    assert time.process_time() - started < 5


def test_a_header_above_the_limit_is_not_read(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"__metadata__": {"x": "y" * 17 * 2**20}}))
    with pytest.raises(WeightsError, match=r"announces a header of 17,"):
        read_safetensors(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match=r"nothing.safetensors does not exist"):
        read_safetensors(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float8_e4m3fn]
)
def test_types_and_shapes_are_known_before_anything_is_read(tmp_path: Path, dtype: torch.dtype):
    path = tmp_path / "x.safetensors"
    tensor = torch.ones(2, 3).to(dtype)
    save_file({"a": tensor, "scalar": torch.tensor(5)}, path)
    entries = read_safetensors(path)
    assert entries["a"].shape == (2, 3)
    assert entries["scalar"].shape == ()
    assert entries["a"].dtype is dtype
    assert torch.equal(entries["a"].load().float(), tensor.float())


def test_not_a_number_is_a_value_like_others(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.tensor([float("nan"), float("inf")])}, path)
    found = read_safetensors(path)["a"].load()
    assert found[0].isnan()
    assert found[1].isinf()


def test_two_readings_share_no_memory(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(4)}, path)
    entry = read_safetensors(path)["a"]
    first, second = entry.load(), entry.load()
    first.add_(1)
    assert torch.equal(second, torch.zeros(4))
    assert torch.equal(read_safetensors(path)["a"].load(), torch.zeros(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_tensor_is_read_into_its_target(tmp_path: Path, dtype: torch.dtype):
    path = tmp_path / "weights.safetensors"
    first, second = torch.arange(6).reshape(2, 3).to(dtype), torch.arange(6, 9).reshape(1, 3).to(dtype)
    save_file({"a": first, "b": second, "none": torch.zeros(0, 3, dtype=dtype)}, path)
    tensors = read_safetensors(path)
    joined = torch.zeros(3, 3, dtype=dtype)
    for key, target in (("a", joined[:2]), ("b", joined[2:]), ("none", joined[:0])):
        tensors[key].copy_to(target)
    assert torch.equal(joined, torch.cat((first, second)))
    other = torch.zeros(2, 3, dtype=torch.float64)
    tensors["a"].copy_to(other)
    assert torch.equal(other, first.double())


def test_a_file_that_has_become_shorter_is_named(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(100)}, path)
    tensors = read_safetensors(path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match=r"weights.safetensors is cut off within the tensor 'a'\. Download or save"):
        tensors["a"].copy_to(torch.zeros(100))
    path.unlink()
    with pytest.raises(WeightsError, match="tensor 'a' could not be read: No such file"):
        tensors["a"].copy_to(torch.zeros(100))
