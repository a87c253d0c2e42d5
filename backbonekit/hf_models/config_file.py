"""Writing a `config.json`, or what stands beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.errors import StorageError

FILE = "config.json"


def write_config(content: Mapping[str, Any], folder: str | Path, *, name: str = FILE) -> None:
    """Into a folder, which is made if needed. Raises StorageError."""
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path / name} could not be written: {error.strerror}.") from error
