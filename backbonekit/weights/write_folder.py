"""Replacing what a folder holds only when all of the new is complete."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from backbonekit.errors import StorageError


@contextmanager
def replacing(folder: Path, *, stale: Callable[[str], bool], last: str) -> Iterator[Path]:
    """Gives an empty folder to write to; after the block its files stand in `folder`.

    Whatever is raised inside leaves `folder` as it was, and nothing beside it.

    `stale(name)`: whether a file of `folder` that the new set lacks belongs to the old set and has to go; files of
    other people stay. `last`: the file that is put in place after all others and vouches for them.

    Raises StorageError where the place cannot be written.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file; a folder to save to is expected.")
    # Within a folder that exists, or beside one to be: only within one file system is moving a file a single step, and
    # the folder may be where another one is mounted.
    temporary = (folder if folder.exists() else folder.parent) / f".{folder.name}.{uuid4().hex}.partial"
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        _publish(temporary, folder, stale, last)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, folder: Path, stale: Callable[[str], bool], last: str) -> None:
    written = sorted((path.name for path in temporary.iterdir()), key=lambda name: name == last)
    for name in written:
        _flush(temporary / name)
    if not folder.exists():
        temporary.rename(folder)
        return
    for name in written:
        (temporary / name).replace(folder / name)
    for path in folder.iterdir():
        if path.name not in written and path.is_file() and stale(path.name):
            path.unlink()


def _flush(path: Path) -> None:
    """Has the bytes on the disk before the name: a power cut must not leave an empty file under a good name."""
    descriptor = os.open(path, os.O_RDWR)  # some systems flush only what is open for writing
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
