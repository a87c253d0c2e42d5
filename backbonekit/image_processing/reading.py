"""Opens image files as untrusted data: image formats only, bounded in size, upright; faults are StorageErrors."""

import os
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from backbonekit.errors import StorageError
from backbonekit.image_processing.bands import read_array, read_tiff
from backbonekit.weights.untrusted_files import open_regular, user_path

# Formats that Pillow decodes by itself. EPS is left out on purpose: Pillow passes it to Ghostscript, an interpreter.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".npy"}
)
_ARRAY = ".npy"
_TIFF_SUFFIXES = (".tif", ".tiff")
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations in which height and width are exchanged
# How a TIFF begins: the byte order, and 42 or (BigTIFF) 43.
_TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# The modes in which Pillow reads a page of a TIFF as it is.
_TIFF_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "I;16B", "F"})
# Numbers of a TIFF's tags.
_SUBFILE, _BITS, _SAMPLES, _EXTRA_SAMPLES = 254, 258, 277, 338
_UNSPECIFIED = 0  # an extra sample that is no transparency


def open_image(file: str | os.PathLike[str]) -> Image.Image | np.ndarray:
    """The image in a file, decoded and upright (the camera's orientation note applied); of a film its first frame.

    An `.npy` file, and a TIFF of several bands or pages or of more than 8 bits a colour, is an array [height, width,
    channels] of all its bands.
    Raises StorageError when there is no such file, when it is no image or a broken one, and when its header declares
    more pixels than Pillow's limit against decompression bombs. A program can raise that: `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if str(file).startswith(("http://", "https://")):
        raise StorageError(f"{file}: an address, not a file; download the image first and give its path.")
    path = user_path(file)
    if path.is_dir():
        raise StorageError(f"{path}: a folder where one image file is expected.")
    if not path.exists():
        raise StorageError(f"{path}: no such image file.")
    try:
        decoded = read_array(path) if path.suffix.lower() == _ARRAY else _decode(path)
        return decoded if isinstance(decoded, np.ndarray) else upright(decoded)
    except StorageError:
        raise
    except Exception as error:  # a broken file makes Pillow's decoders raise anything, up to ZeroDivisionError
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "not an image in a known format" if unknown else f"broken image: {error}"
        raise StorageError(f"{path}: {reason}. Readable are {', '.join(_known_formats())}, and .npy.") from error


def image_size(file: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of the image in a file, upright, from its header where Pillow reads its format. Raises
    StorageError as `open_image`."""
    path = user_path(file)
    if path.suffix.lower() not in (_ARRAY, *_TIFF_SUFFIXES):
        with suppress(Exception), open_regular(path) as stream:  # open_image says what is wrong
            image = _opened(stream, path)
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_ITS_SIDE
            return (image.width, image.height) if is_turned else (image.height, image.width)
    image = open_image(path)
    return (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[0], image.shape[1])


def decode_image(content: bytes, *, shown: str) -> Image.Image | np.ndarray:
    """As `open_image` for the bytes of an image that lies in a table. `shown`: its name in error messages. A TIFF of
    several bands is read from a file alone."""
    try:
        image = _opened(BytesIO(content), Path(shown))
        if content[:4] in _TIFF_STARTS and not _is_one_plain_page(image):
            raise StorageError(f"{shown}: a TIFF of several bands or pages is read from a file of its own.")
        image.load()
        return upright(image)
    except StorageError:
        raise
    except Exception as error:  # as in open_image
        raise StorageError(f"{shown}: broken image, or not an image in a known format: {error}.") from error


def upright(image: Image.Image) -> Image.Image:
    """The image turned the way that the camera noted in its EXIF; the very same object where nothing is noted."""
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    assert turned is not None  # None only when done in place
    return turned


def _decode(path: Path) -> Image.Image | np.ndarray:
    with open_regular(path) as stream:
        is_tiff = stream.read(4) in _TIFF_STARTS
        stream.seek(0)
        try:
            image = _opened(stream, path)
        except UnidentifiedImageError:
            if not is_tiff:
                raise
            return read_tiff(path)
        if is_tiff and not _is_one_plain_page(image):
            return read_tiff(path)
        image.load()
        return image


def _opened(stream: BinaryIO, path: Path) -> Image.Image:
    """The image with its header read. Raises StorageError for too many pixels, of which Pillow only warns."""
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(stream, formats=_known_formats())
        count = image.width * image.height
    except Image.DecompressionBombError as error:  # twice the limit and more
        raise StorageError(f"{path}: too large to be decoded safely: {error}") from error
    if limit is not None and count > limit:
        raise StorageError(
            f"{path}: too large to be decoded safely: {image.width} x {image.height} are {count:,} pixels; {limit:,}"
            " are read. The fix: a smaller image, or in Python PIL.Image.MAX_IMAGE_PIXELS = another limit."
        )
    return image


def _is_one_plain_page(image: Any) -> bool:
    """Whether Pillow reads all of a TIFF: a single page beside smaller versions of it, of colours of 8 bits, no band of
    which is anything else."""
    pages = 0
    for index in range(image.n_frames):
        image.seek(index)
        pages += not image.tag_v2.get(_SUBFILE, 0)
    image.seek(0)
    tags = image.tag_v2
    bits, samples, extra = tags.get(_BITS, (1,)), tags.get(_SAMPLES, 1), tags.get(_EXTRA_SAMPLES, ())
    # Of a page with more bands, or with a fifth one, Pillow returns the first ones.
    has_all = samples == len(image.getbands()) and _UNSPECIFIED not in extra
    return pages <= 1 and has_all and image.mode in _TIFF_MODES and (samples == 1 or max(bits) <= 8)


def _known_formats() -> tuple[str, ...]:
    # AVIF and JPEG 2000 depend on how Pillow was built; naming a missing one is a KeyError inside Pillow.
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)
