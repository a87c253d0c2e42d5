"""Files that somebody else wrote: only regular ones are opened, within a bound of size; JSON bounded in depth, with no
key twice; and the sha256 of any file."""

import hashlib
import json
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from backbonekit.errors import StorageError, bounded

JSON_LIMIT = 16 * 2**20  # bytes; the index of a model with 100,000 tensors has 10 MiB
_SHOWN = 300  # characters of a path in a message
_CHUNK = 1 << 20  # bytes


def read_json(path: Path, *, shown: str | None = None, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """A JSON file that holds an object. `shown`: its name in error messages. Raises StorageError."""
    name = shown or str(path)
    try:
        text = read_regular(path, shown=name, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(f"{name} is no UTF-8 text.") from error
    return parse_json(text, shown=name)


def user_path(given: str | os.PathLike[str]) -> Path:
    """A path as a person types it, with `~` expanded. It need not exist. Raises StorageError for what no file system
    can take, for a path inside a folder that may not be read, and for a folder that may not be entered."""
    text = os.fspath(given)
    name = bounded(repr(text), _SHOWN)
    if "\0" in text:
        raise StorageError(f"{name} is no path: it holds a NUL character.")
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            os.stat(os.path.join(path, "."))
    except RuntimeError as error:  # `~name` of nobody on this machine
        person = bounded(repr(text.split("/")[0]), _SHOWN)
        raise StorageError(f"{name}: this machine has no home folder for {person}.") from error
    except OSError as error:
        raise StorageError(f"{name} cannot be opened: {error.strerror}.") from error
    return path


def open_regular(path: Path, *, shown: str | None = None) -> BinaryIO:
    """A regular file, opened to read its bytes. A pipe, a device, a socket or a folder is refused without waiting for
    it, whatever its name looks like. Raises StorageError."""
    name = shown or str(path)
    try:
        # Without O_NONBLOCK the opening of a pipe waits until somebody writes into it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise StorageError(f"{name} does not exist.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StorageError(f"{name} could not be read: {reason}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StorageError(f"{name} is no regular file but a pipe, a device, a socket or a folder; it is not opened.")
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path, *, shown: str | None = None) -> int:
    """The size of a file that another library opens by its path. Raises StorageError as `open_regular`."""
    with open_regular(path, shown=shown) as file:
        return os.fstat(file.fileno()).st_size


def names_in(folder: Path) -> list[str]:
    """The names of what is in a folder, sorted. Raises StorageError where it cannot be listed."""
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise StorageError(f"{folder} could not be listed: {error.strerror}.") from error


def read_regular(path: Path, *, shown: str | None = None, limit: int = JSON_LIMIT) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises StorageError."""
    name = shown or str(path)
    with open_regular(path, shown=name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise StorageError(f"{name} has {size:,} bytes; more than {limit:,} are not read.")
        try:
            return file.read(size)  # not until the end: files of the system have size 0 and never end
        except OSError as error:
            raise StorageError(f"{name} could not be read: {error.strerror}.") from error


def beginning(path: Path, count: int) -> bytes:
    """The first `count` bytes of a regular file of any size. Raises StorageError."""
    with open_regular(path) as file:
        return file.read(min(count, os.fstat(file.fileno()).st_size))


def parse_json(text: str, *, shown: str) -> dict[str, Any]:
    """An object from JSON text. Raises StorageError for bad syntax, a repeated key, another type, deep nesting."""
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise StorageError(f"{shown} is nested too deeply.") from error
    except ValueError as error:
        raise StorageError(f"{shown} is not valid JSON: {str(error)[:300]}.") from error
    if not isinstance(value, dict):
        raise StorageError(f"{shown} holds a {type(value).__name__}; a JSON object is expected.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {repeated!r} appears twice")
    return found


def sha256_of(path: Path) -> str:
    """The hexadecimal sha256 of a regular file; one that did not change is not read again. Raises OSError."""
    state = path.stat()
    return _sha256(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=256)
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    return _hashed(path, hashlib.sha256())


def git_hash_of(path: Path) -> str:
    """The name of a file's content in git: the sha1 of its kind, length and bytes. Raises OSError."""
    header = f"blob {path.stat().st_size}\0".encode()
    return _hashed(path, hashlib.sha1(header, usedforsecurity=False))


def _hashed(path: Path, digest: Any) -> str:
    with open_regular(path) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
