"""Files that somebody else wrote: JSON bounded in size and depth, with no key twice; and the sha256 of any file."""

import hashlib
import json
from pathlib import Path
from typing import Any

from backbonekit.errors import StorageError

_LIMIT = 16 * 2**20  # bytes; the index of a model with 100,000 tensors has 10 MiB
_CHUNK = 1 << 20  # bytes


def read_json(path: Path, *, shown: str | None = None, limit: int = _LIMIT) -> dict[str, Any]:
    """A JSON file that holds an object. `shown`: its name in error messages. Raises StorageError."""
    name = shown or str(path)
    try:
        if path.stat().st_size > limit:
            raise StorageError(f"{name} has {path.stat().st_size:,} bytes; more than {limit:,} are not read.")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(f"{name} is no UTF-8 text.") from error
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{name} could not be read: {error.strerror}.") from error
    return parse_json(text, shown=name)


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
    """The hexadecimal sha256 of a file, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
