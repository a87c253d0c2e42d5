"""What a saved recipe must not tell others: where things lie on this machine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backbonekit.errors import StorageError

_PATH_LIKE = re.compile(r"(~|\.{1,2})?[/\\]|[A-Za-z]:[/\\]|~$")


def without_local_places(recipe: dict[str, Any]) -> dict[str, Any]:
    """A copy of a flat recipe in which the backbone does not come from a folder of this machine.

    Its weights are in the saved model itself. Raises StorageError where another value holds the user's folder.
    """
    backbone = dict(recipe.get("backbone") or {})
    if _is_local(backbone.get("pretrained")):
        backbone["pretrained"] = False
    if _is_local(backbone.get("name")):
        # The configuration says what the name stood for; without one, the last part of the path is better than nothing.
        backbone["name"] = None if backbone.get("config") else re.split(r"[/\\]", backbone["name"].rstrip("/\\"))[-1]
        backbone["pretrained"] = False
        backbone["revision"] = None
    scrubbed = {**recipe, "backbone": backbone} if backbone else dict(recipe)
    home = str(Path.home())
    for path, text in _texts(scrubbed):
        if len(home) > 1 and home in text:
            raise StorageError(
                f"recipe.yaml: {path} holds a path of this machine; change it before the model is pushed."
            )
    return scrubbed


def _is_local(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    if _PATH_LIKE.match(value):
        return True
    try:
        return "/" in value and Path(value).exists()
    except (OSError, ValueError):
        return False


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path.lstrip("."), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key, f"{path}.{key}")
            yield from _texts(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}")
