"""A saved folder, written in one atomic step.

A folder that does not exist yet is written beside its final name and renamed. A folder that exists keeps its identity
(a mount, a link, a running program's working folder, the user's own files), so it is not exchanged as a whole:
Linux's RENAME_EXCHANGE would do that, but would carry the user's subfolders away with the old one. Instead:

1. The new files are written into a temporary folder inside it, and flushed to the disk.
2. The temporary folder is renamed to `.committed-save`. This rename is the one step: before it the folder holds the
   old model, after it the new one. `file_in` and `files_in`, which all readers of this package use, see it that way.
3. The files are moved to their final names, and the old ones that the new set lacks are deleted. A process killed here
   leaves a whole new model to `file_in`; the next save finishes the moves first.

Other programs know nothing of `.committed-save`. For them the file named `last` is deleted before step 3 moves the
first file, and is moved as the last one. So they find either a whole model or one without its `recipe.yaml` or
`config.json`, never a mixture.

Two processes that save to one folder take turns at steps 2 and 3 by a lock on the folder; the later files remain.
A temporary folder is locked while it is written, so that the next save recognises what a killed one left and removes
it.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import read_json, user_path

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: no folder can be locked there, so a temporary folder counts as abandoned by its age
    fcntl = None

COMMITTED = ".committed-save"
_LISTING = ".files.json"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.partial", re.DOTALL)
_ABANDONED_AFTER = 24 * 3600  # seconds, where locks do not exist


@contextmanager
def replacing(folder: Path, *, stale: Callable[[str], bool], last: str) -> Iterator[Path]:
    """Yields an empty folder to write to; after the block `folder` holds its files.

    Whatever is raised inside leaves `folder` as it was. A `folder` that is a link stays one; what it points to is
    written.

    `stale(name)`: whether a file of `folder` that the new set lacks belongs to the old set and is deleted; all other
    files are kept. `last`: the file without which other programs find no model (`recipe.yaml`, `config.json`).

    A block inside another one, with the folder that the outer block yielded, writes to that folder itself: the outer
    block publishes all files together.

    Raises StorageError where the folder cannot be written.
    """
    folder = user_path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file; a folder to save to is expected.")
    if folder.is_dir() and _TEMPORARY.fullmatch(folder.name):
        yield folder
        return
    with ExitStack() as locks:
        try:
            # Inside a folder that exists, which may be a mounted file system: a rename needs one file system.
            parent = folder if folder.is_dir() else folder.parent
            if not parent.exists():
                parent.mkdir(parents=True)
            _remove_abandoned(parent)
            _remove_abandoned(folder.parent)
            temporary = _claim(parent / f".{folder.name}", locks)
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


def file_in(folder: Path, name: str) -> Path:
    """The path to read the file `name` of a saved folder from. It does not exist where the folder has no such file."""
    save = _committed(folder)
    if save is not None and (name in save.deleted or (folder / COMMITTED / name).is_file()):
        return folder / COMMITTED / name
    return folder / name


def files_in(folder: Path) -> frozenset[str]:
    """The names of the files directly in a saved folder. Raises OSError."""
    found = {entry.name for entry in folder.iterdir() if entry.is_file()}
    save = _committed(folder)
    return frozenset(found if save is None else (found - save.deleted) | set(save.written))


@dataclass(frozen=True, slots=True)
class _Save:
    """A committed save: `written` in the order in which its files are moved, `deleted` of the old set."""

    written: tuple[str, ...]
    deleted: frozenset[str]


def _publish(temporary: Path, folder: Path, stale: Callable[[str], bool], last: str) -> None:
    written = sorted((path.name for path in temporary.iterdir()), key=lambda name: (name == last, name))
    for name in written:
        _flush(temporary / name)
    if not folder.exists():
        _flush(temporary)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another save has made it in the meantime
                raise
        else:
            _flush(folder.parent)
            return
    with _locked(folder):
        _finish(folder)
        for name in written:
            if (folder / name).is_dir():
                raise StorageError(f"{folder / name} is a folder; a file of that name has to be written.")
        deleted = sorted(name for name in files_in(folder) if name not in written and stale(name))
        listing = temporary / _LISTING
        listing.write_text(json.dumps({"written": written, "deleted": deleted}), encoding="utf-8")
        _flush(listing)
        _flush(temporary)
        temporary.rename(folder / COMMITTED)
        _flush(folder)
        _finish(folder)


def _finish(folder: Path) -> None:
    """Moves the files of a committed save to their final names. Called again after an interruption, moves the rest."""
    committed = folder / COMMITTED
    save = _committed(folder)
    if save is not None:
        if save.written and (committed / save.written[-1]).is_file():
            (folder / save.written[-1]).unlink(missing_ok=True)
        for name in save.deleted:
            (folder / name).unlink(missing_ok=True)
        for name in save.written:
            if (committed / name).is_file():
                (committed / name).replace(folder / name)
        _flush(folder)
    if committed.is_dir():
        shutil.rmtree(committed)


def _committed(folder: Path) -> _Save | None:
    committed = folder / COMMITTED
    if not committed.is_dir() or committed.is_symlink():
        return None
    try:
        listing = read_json(committed / _LISTING)
    except StorageError:  # all of its files are moved, and the listing is gone already
        return None
    written, deleted = listing.get("written"), listing.get("deleted")
    # The folder may be somebody else's: names are names in this folder, never paths.
    if not (isinstance(written, list) and isinstance(deleted, list) and all(map(_is_name, [*written, *deleted]))):
        return None
    return _Save(tuple(written), frozenset(deleted))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & {"/", "\\", ":", "\0"}


def _claim(start: Path, locks: ExitStack) -> Path:
    """A new folder whose name starts with `start`, locked as long as `locks` lasts."""
    while True:
        temporary = start.with_name(f"{start.name}.{uuid4().hex}.partial")
        temporary.mkdir()
        # Another save may take it for an abandoned one before it is locked.
        with suppress(FileNotFoundError):
            locks.enter_context(_locked(temporary))
            if temporary.is_dir():
                return temporary


def _remove_abandoned(parent: Path) -> None:
    """Deletes the temporary folders of saves that were killed."""
    with suppress(OSError):  # a parent that cannot be listed
        for path in parent.iterdir():
            if _TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # locked by a save that is running, or removed by another one
                    _remove_unlocked(path)


def _remove_unlocked(temporary: Path) -> None:
    if fcntl is None:
        if time.time() - temporary.stat().st_mtime > _ABANDONED_AFTER:
            shutil.rmtree(temporary)
        return
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            shutil.rmtree(temporary)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits until no other process has locked the folder. Without effect where the file system has no locks."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            # Closing alone would leave it locked for a process that was forked meanwhile.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _flush(path: Path) -> None:
    """Has the content on the disk before the name: a power cut must not leave an empty file under a good name."""
    is_folder = path.is_dir()
    if is_folder and fcntl is None:
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)  # some systems flush only what is open to write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
