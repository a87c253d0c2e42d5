"""Opens image files as untrusted data: image formats only, bounded in size, upright; faults are StorageErrors."""

import os
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from backbonekit.errors import StorageError

# Formats that Pillow decodes by itself. EPS is left out on purpose: Pillow passes it to Ghostscript, an interpreter.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"}
)


def open_image(file: str | os.PathLike[str]) -> Image.Image:
    """The image in a file, decoded and upright (the camera's orientation note applied); its first frame if many.

    Raises StorageError when there is no such file, when it is no image or a broken one, and when its header declares
    more pixels than Pillow's limit against decompression bombs.
    """
    path = Path(file)
    if str(file).startswith(("http://", "https://")):
        raise StorageError(f"{file}: an address, not a file; download the image first and give its path.")
    if path.is_dir():
        raise StorageError(f"{path}: a folder where one image file is expected.")
    if not path.exists():
        raise StorageError(f"{path}: no such image file.")
    try:
        return upright(_decode(path))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise StorageError(f"{path}: too large to be decoded safely: {error}") from error
    except Exception as error:  # a broken file makes Pillow's decoders raise anything, up to ZeroDivisionError
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "not an image in a known format" if unknown else f"broken image: {error}"
        raise StorageError(f"{path}: {reason}. Readable are {', '.join(_known_formats())}.") from error


def upright(image: Image.Image) -> Image.Image:
    """The image turned the way that the camera noted in its EXIF; the very same object where nothing is noted."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    assert turned is not None  # None only when done in place
    return turned


def _decode(path: Path) -> Image.Image:
    with open(path, "rb") as stream:
        image = Image.open(stream, formats=_known_formats())
        image.load()
        return image


def _known_formats() -> tuple[str, ...]:
    # AVIF and JPEG 2000 depend on how Pillow was built; naming a missing one is a KeyError inside Pillow.
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
