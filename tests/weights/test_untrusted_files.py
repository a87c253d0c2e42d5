"""JSON of others: refused with a message where it is malformed or too large."""

from pathlib import Path

import pytest

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import read_json, sha256_of

REFUSED = {
    "syntax": (b"{", "is not valid JSON"),
    "type": (b"[1]", "holds a list"),
    "duplicate": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' appears twice"),
    "nesting": (b'{"a":' * 100_000, "nested too deeply"),
    "encoding": (b"\xff\xfe\xfd", "no UTF-8"),
    "size": (b'{"a": "' + b"x" * 2**24 + b'"}', "are not read"),
    "endless number": (b'{"a": ' + b"9" * 5_000 + b"}", "is not valid JSON"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=message) as caught:
        read_json(path)
    assert "config.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(StorageError, match=r"config.json could not be read: No such file"):
        read_json(tmp_path / "config.json")


def test_an_object_is_read(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa4"]}')
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}


def test_sha256(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
