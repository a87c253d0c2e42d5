"""JSON of others: refused with a message where it is malformed or too large."""

import os
from pathlib import Path

import pytest

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import beginning, git_hash_of, read_json, read_regular, sha256_of, user_path

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
    with pytest.raises(StorageError, match=r"config.json does not exist"):
        read_json(tmp_path / "config.json")


def test_an_object_is_read(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa4"]}')
    assert read_json(path) == {"a": [1, 2.5, None, "ä"]}


def test_sha256(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_only_regular_files_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "config.json")
    for path in (tmp_path / "config.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(StorageError, match="is no regular file but a pipe, a device, a socket or a folder"):
            read_regular(path)
    with pytest.raises(StorageError, match="is no regular file"):
        sha256_of(Path("/dev/zero"))


def test_the_beginning_of_a_huge_sparse_file_is_read_alone(tmp_path: Path):
    path = tmp_path / "README.md"
    path.write_bytes(b"---\n")
    os.truncate(path, 2**40)
    assert beginning(path, 6) == b"---\n\0\0"
    with pytest.raises(StorageError, match=r"1,099,511,627,776 bytes; more than"):
        read_json(path)


def test_paths_that_no_file_system_takes(tmp_path: Path):
    for given, message in {
        "a\0b": "holds a NUL character",
        "~nobody_of_that_name/x": "no home folder for '~nobody_of_that_name'",
        "x" * 5_000: "File name too long",
    }.items():
        with pytest.raises(StorageError, match=message):
            user_path(given)
    assert user_path(tmp_path / "absent") == tmp_path / "absent"
    assert user_path("~") == Path.home()


def test_a_hash_is_computed_again_after_a_change(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    first = sha256_of(path)
    path.write_bytes(b"abcd")
    assert sha256_of(path) != first
    assert git_hash_of(path) == "85df50785d62d3b05ab03d9cbf7e4a0b49449730"
