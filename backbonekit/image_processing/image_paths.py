"""The images of a folder."""

import re
from pathlib import Path

from backbonekit.errors import StorageError
from backbonekit.image_processing.reading import SUFFIXES


def find_images(folder: str | Path) -> list[Path]:
    """Files with an image's suffix, hidden ones left out, in the order that people count (2 before 10).

    Subfolders are not entered. Raises StorageError when there is no image.
    """
    folder = Path(folder)
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        found = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and entry.is_file()]
    except OSError as error:
        raise StorageError(f"{folder}: this folder cannot be read: {error.strerror or error}.") from error
    if not found:
        inside = [entry.name for entry in entries if entry.is_dir()]
        hint = f" Its subfolders are not searched; name one of them: {', '.join(sorted(inside)[:5])}." if inside else ""
        raise StorageError(f"{folder}: no images in this folder ({', '.join(sorted(SUFFIXES))}).{hint}")
    return sorted(found, key=lambda path: counting_order(path.name))


def counting_order(name: str) -> list[tuple[int, int, str]]:
    """A key to sort names by as people count."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if index % 2 else (1, 0, part.lower()) for index, part in enumerate(parts)]
