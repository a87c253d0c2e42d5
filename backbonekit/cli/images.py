"""The images that a command line names, and those of them that could not be used."""

import sys
from collections.abc import Sequence
from pathlib import Path

from backbonekit.cli.text import printable
from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import user_path


def image_faults(image: str | None) -> list[str]:
    """What is wrong with image=."""
    if not image:
        return ["no image: give image=FILE or image=FOLDER."]
    try:
        path = user_path(image)
        is_pattern = "*" in path.name and path.parent.is_dir()
        hint = f" The fix: the folder with all its images, image={path.parent}." if is_pattern else ""
        return [] if path.exists() else [f"image={image}: no such file or folder.{hint}"]
    except StorageError as error:
        return [f"image={error}"]


def images_of(given: str) -> list[Path]:
    """The file itself, or the images of the folder."""
    from backbonekit.image_processing.image_paths import find_images

    image = user_path(given)
    return find_images(image) if image.is_dir() else [image]


def report_failed(messages: Sequence[str], total: int) -> int:
    """Lists the images that could not be used. Returns exit code 1 when there are any."""
    lines = [f"  {printable(message)}" for message in messages]
    if lines:
        print(f"{len(lines)} of {total} images could not be used:", *lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0


def read_bands(text: str) -> list[int] | None:
    """One or three numbers with commas, as bands= has them, or None."""
    words = [word.strip() for word in text.strip("[]").split(",")]
    return [int(word) for word in words] if len(words) in (1, 3) and all(map(str.isdecimal, words)) else None
