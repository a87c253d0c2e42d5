"""Files of any number of bands as arrays [height, width, channels]: `.npy`, and TIFF of several bands or pages.

TIFF is read by tifffile (the extra `geo`): Pillow reads no page of more than four bands, and only 8 bits a colour.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from backbonekit.errors import StorageError
from backbonekit.weights.untrusted_files import check_regular

# A pixel of all bands counts as many values; 2**30 of 4 bytes are 4 GiB.
MAX_VALUES = 2**30
_NUMBERS = "biuf"  # kinds of NumPy's dtypes: bool, whole numbers, floats


def read_array(path: Path) -> np.ndarray:
    """The array of an `.npy` file, [height, width] or [height, width, channels]. Raises StorageError for anything
    else; nothing is unpickled."""
    check_regular(path)  # numpy would wait for a pipe
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check(path, array.shape, array.dtype)
    if array.ndim not in (2, 3):
        raise StorageError(
            f"{path}: of shape {_shape(array.shape)}; an image is [height, width] or [height, width, channels]."
        )
    return np.array(array)


def read_tiff(path: Path) -> np.ndarray:
    """[height, width, channels]: all bands of all pages, smaller versions of the image (overviews) and its mask left
    out. Raises StorageError without tifffile, and for pages of different sizes."""
    try:
        import tifffile
    except ImportError as error:
        raise StorageError(
            f"{path}: a TIFF of several bands or pages, or of more than 8 bits a colour, is read by tifffile. "
            "The fix: pip install 'backbonekit[geo]'."
        ) from error
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said by the error
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if not (page.is_reduced or page.is_mask)]
        sizes = {page.shape for page in pages}
        if not pages:
            raise StorageError(f"{path}: a TIFF without an image.")
        if len(sizes) > 1:
            shown = ", ".join(sorted(map(_shape, sizes)))
            raise StorageError(f"{path}: a TIFF of {len(pages)} pages of different sizes ({shown}); give one image.")
        first: Any = pages[0]
        _check(path, (len(pages), *first.shape), first.dtype)
        return np.concatenate([_bands_last(page) for page in pages], axis=-1)


def _bands_last(page: Any) -> np.ndarray:
    """[height, width, bands] of a page, whether its bands are stored pixel by pixel or plane by plane."""
    pixels = page.asarray()
    axes: str = page.axes
    if set(axes) - set("YXS"):
        raise ValueError(f"axes {axes} are no image's")
    if "S" not in axes:
        return pixels[..., None]
    return np.moveaxis(pixels, axes.index("S"), -1)


def _check(path: Path, shape: tuple[int, ...], dtype: Any) -> None:
    count = int(np.prod(shape, dtype=object))
    if count > MAX_VALUES:
        raise StorageError(f"{path}: too large to be read safely: {count:,} values; {MAX_VALUES:,} are the most.")
    if dtype is None or np.dtype(dtype).kind not in _NUMBERS:
        raise StorageError(f"{path}: values of type {dtype}; an image has whole numbers or floats.")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
