"""Files below the root of a data set. The names come from annotations, which somebody else wrote."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from backbonekit.errors import StorageError, nearest
from backbonekit.image_processing.image_paths import counting_order
from backbonekit.image_processing.reading import SUFFIXES
from backbonekit.weights.untrusted_files import user_path

_SEPARATOR = re.compile(r"[/\\]")


def root_folder(root: str) -> Path:
    """The folder that a person named. Raises StorageError where there is none."""
    path = user_path(root)
    if not path.is_dir():
        raise StorageError(f"data.root={root}: there is no such folder.")
    return path


def is_inside(name: object) -> bool:
    """Whether a name is relative and stays below the folder that it is relative to, on any system."""
    if not isinstance(name, str) or not name or "\0" in name or name[0] in "/\\" or name[1:2] == ":":
        return False
    return ".." not in _SEPARATOR.split(name)


def inside(root: Path, name: str, *, option: str) -> Path:
    """The file or folder of that name below `root`. `option`: where the name was given, for the message."""
    if not is_inside(name):
        raise StorageError(f"{option}={name!r} leads out of data.root={root}; names are relative to it, without '..'.")
    path = root / name
    if not path.exists():
        beside = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        raise StorageError(f"{option}={name}: {path} does not exist; {nearest(path.name, beside)}")
    return path


def image_files(folder: Path) -> list[str]:
    """The names of all images below a folder, relative to it, in the order that people count; hidden ones left out."""
    found: list[str] = []
    for at, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(at).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        found += [
            f"{prefix}{name}"
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    return sorted(found, key=counting_order)


def absent(folder: Path, names: Iterable[str]) -> set[str]:
    """Those of the names that are no files below the folder. Each folder is listed once, since asking for every file
    takes minutes on a network's file system."""
    by_folder: dict[str, set[str]] = {}
    for name in names:
        by_folder.setdefault(str(PurePosixPath(name).parent), set()).add(name)
    missing: set[str] = set()
    for below, wanted in by_folder.items():
        there = _names_in(folder / below)
        missing |= {name for name in wanted if PurePosixPath(name).name not in there}
    return missing


def _names_in(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries}
    except OSError:
        return set()
