"""Files that are there completely or not at all."""

import io
import os
import tempfile
from pathlib import Path

from PIL import Image

from backbonekit.errors import StorageError

_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}  # pixels, of libjpeg and of the WebP format


def write_file(path: str | Path, content: bytes) -> None:
    """Replaces `path` in one step; its folder is made. Raises StorageError where it cannot be written."""
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because only within one file system is the last move a single step.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's own mode keeps everybody else out
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error


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
