"""Files that somebody else might have written."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors_bytes(header: dict[str, Any] | str, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file with any header, well-formed or not."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An offline Hub cache; call it with a repository's id and its files to have them cached at `COMMIT`."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def add(identifier: str, files: dict[str, bytes], *, branch: str | None = "main") -> Path:
        folder = cache / ("models--" + identifier.replace("/", "--"))
        snapshot = folder / "snapshots" / COMMIT
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        snapshot.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
            blob.write_bytes(content)
            (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
        if branch is not None:
            (folder / "refs").mkdir(exist_ok=True)
            (folder / "refs" / branch).write_text(COMMIT)
        return snapshot

    return add
