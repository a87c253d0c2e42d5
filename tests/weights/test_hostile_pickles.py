"""Pickled files that are malformed or announce more than they hold: one of our errors, soon, and nothing runs."""

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from backbonekit.errors import WeightsError
from backbonekit.weights.pickled import read_pickled

STREAMS = {
    "empty": b"",
    "stop alone": b".",
    "mark alone": b"(",
    "an object of numbers": b"\x80\x02K\x01K\x02\x81.",
    "a persistent number": b"\x80\x02K\x01Q.",
    "100,000 nested lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "a call of a number": b"\x80\x02K\x01)R.",
    "a state of a number": b"\x80\x02K\x01}b.",
    "a memory that is not there": b"\x80\x02h\x05.",
    "a mapping that holds itself": b"\x80\x02}q\x00(X\x05\x00\x00\x00modelh\x00u.",
    "a call of the system": b"cposix\nsystem\n(X\x04\x00\x00\x00exitt\x85R.",
}


def archive(stream: bytes, *, compression: int = zipfile.ZIP_STORED, numbers: bytes = b"") -> bytes:
    """A checkpoint as torch writes it, around any stream."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        written.writestr("archive/data.pkl", stream)
        written.writestr("archive/version", "3\n")
        written.writestr("archive/byteorder", "little")
        written.writestr("archive/data/0", numbers)
    return file.getvalue()


def saved(content: Any, *, is_zip: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    return file.getvalue()


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    since = time.perf_counter()
    with pytest.raises(WeightsError) as caught:
        read_pickled(path)
    assert time.perf_counter() - since < 10  # at most 0.4 s here
    assert len(str(caught.value)) <= 4_000
    assert str(caught.value).replace("\n", "").isprintable()
    assert "weights_only" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("is_zip", [False, True])
@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_malformed_streams(tmp_path: Path, stream: bytes, is_zip: bool):
    message = refused(tmp_path / "x.bin", archive(stream) if is_zip else stream)
    assert "is not opened" in message or "holds no tensors by name" in message


def test_a_refused_call_is_named(tmp_path: Path):
    assert "posix.system" in refused(tmp_path / "x.bin", STREAMS["a call of the system"])


def test_an_archive_that_grows_is_not_opened(tmp_path: Path):
    bomb = archive(b"\x80\x02}.", compression=zipfile.ZIP_DEFLATED, numbers=bytes(10**8))
    assert "announces 100,0" in refused(tmp_path / "x.bin", bomb)


def test_tensors_larger_than_the_file(tmp_path: Path):
    content = saved({"a": torch.zeros(1).expand(10**12)})
    assert "is to have 1,000,000,000,000 numbers" in refused(tmp_path / "x.bin", content)
    old_format = saved({"a": torch.zeros(3)}, is_zip=False)
    huge = old_format.replace(b"K\x03", b"\x8a\x06\xff\xff\xff\xff\xff\x00")  # three numbers become 2**40
    assert huge != old_format
    refused(tmp_path / "y.bin", huge)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({f"key{number}": number for number in range(100_000)}, "holds no tensors by name; its keys are 'key0'"),
        ({number: torch.zeros(1) for number in range(3)}, "holds no tensors by name; its keys are 0, 1, 2"),
        ({"\x1b[2J" * 100: 1}, "holds no tensors by name"),
        ({"a": torch.zeros(3).to_sparse()}, "is sparse or without numbers"),
        ({"a": torch.zeros(3, device="meta")}, "is sparse or without numbers"),
    ],
)
def test_content_that_is_no_dense_tensor_by_name(tmp_path: Path, content: Any, message: str):
    assert message in refused(tmp_path / "x.bin", saved(content))


def test_cut_files(tmp_path: Path):
    for number, whole in enumerate((saved({"a": torch.zeros(1_000)}), saved({"a": torch.zeros(9)}, is_zip=False))):
        for length in (1, 10, len(whole) // 2, len(whole) - 5):
            refused(tmp_path / f"{number}_{length}.bin", whole[:length])
