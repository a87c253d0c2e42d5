"""Files that are there completely or not at all."""

import io
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import open_regular, user_path

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows: no file can be locked there, so nothing is removed
    fcntl = None

_SUFFIX = ".partial"
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels, of libjpeg and of the WebP format


def write_file(path: str | Path, content: bytes) -> None:
    """Replaces `path` in one step; its folder is made. Raises StorageError where it cannot be written.

    What a process that was killed here left beside it is removed by the next one that writes the same file.
    """
    path = user_path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        descriptor, temporary = _claim(path)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)  # a power cut must not leave an empty file under a good name
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's own mode keeps everybody else out
            os.replace(temporary, path)  # while it is locked
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error


def _claim(path: Path) -> tuple[int, str]:
    """A new temporary file beside `path`, locked as long as it is open."""
    while True:
        # In the same folder, because only within one file system is the last move a single step.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        if fcntl is None:
            return descriptor, temporary
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Another process may have taken it for an abandoned one before it was locked.
        if os.path.exists(temporary):
            return descriptor, temporary
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    if fcntl is None:
        return
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[^.]+{re.escape(_SUFFIX)}", re.DOTALL)
    for name in os.listdir(path.parent):
        if pattern.fullmatch(name) is None:
            continue
        # Refused where it is locked by a process that is writing, or removed by another one.
        with suppress(OSError), open_regular(path.parent / name) as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path.parent / name)


def write_image(path: str | Path, image: Image.Image) -> None:
    """In the format that the suffix names. Raises StorageError for a suffix that no format has."""
    path = Path(path)
    name = image_format(path)
    longest = _LONGEST_SIDE.get(name, max(image.size))
    if max(image.size) > longest:
        raise StorageError(
            f"{path}: {image.width} x {image.height} pixels do not go into {name}, which ends at {longest}; use .png."
        )
    stream = io.BytesIO()
    try:
        image.save(stream, name, **({"quality": 92} if name == "JPEG" else {}))
    except (OSError, ValueError) as error:  # a format that takes no colours, for one
        raise StorageError(f"{path}: the image does not go into {name}: {error}; use .png.") from error
    write_file(path, stream.getvalue())


def image_format(path: Path) -> str:
    """Pillow's name of the format that a suffix stands for."""
    Image.init()
    name = Image.registered_extensions().get(path.suffix.lower())
    if name is None or name not in Image.SAVE or name in ("EPS", "PDF"):
        raise StorageError(
            f"{path}: {path.suffix or 'no suffix'!r} is no image format to write; use .png, .jpg or .webp."
        )
    return name


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
