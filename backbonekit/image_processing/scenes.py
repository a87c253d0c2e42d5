"""An image read in windows: a large file never as a whole where its format allows it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from backbonekit.errors import StorageError
from backbonekit.image_processing.pixels import ImageLike, size_of
from backbonekit.image_processing.reading import open_image
from backbonekit.weights.untrusted_files import user_path

TIFF = (".tif", ".tiff")
_ARRAY = ".npy"


@dataclass(frozen=True, slots=True)
class Scene:
    """`size`: (height, width). `read(top, left, height, width)`: the image of a window."""

    size: tuple[int, int]
    read: Callable[[int, int, int, int], ImageLike]


def open_scene(image: ImageLike) -> Scene:
    """Of anything that the processor reads. A TIFF file is read by rasterio where that is installed, else mapped into
    memory by tifffile where its pixels are stored in one piece; `.npy` is mapped too. Every other file is decoded once.
    Raises StorageError."""
    if isinstance(image, (str, os.PathLike)):
        path = user_path(image)
        if path.suffix.lower() in TIFF and path.is_file():
            return _tiff(path)
        if path.suffix.lower() == _ARRAY and path.is_file():
            _check_array(path)
            return _of_array(np.load(path, mmap_mode="r", allow_pickle=False))
        image = open_image(path)
    if isinstance(image, Image.Image):
        return _of_picture(image)
    if isinstance(image, Tensor):
        tensor = image
        size = (tensor.shape[-2], tensor.shape[-1])
        return Scene(size, lambda top, left, height, width: tensor[..., top : top + height, left : left + width])
    return _of_array(image)


def _check_array(path: Path) -> None:
    """Raises StorageError for an `.npy` file that is no image."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: broken image: {error}.") from error
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise StorageError(f"{path}: {array.dtype} {list(array.shape)}; an image is [height, width(, channels)].")


def _of_picture(image: Image.Image) -> Scene:
    return Scene(size_of(image), lambda top, left, height, width: image.crop((left, top, left + width, top + height)))


def _of_array(array: Any) -> Scene:
    return Scene(
        (array.shape[0], array.shape[1]),
        lambda top, left, height, width: np.array(array[top : top + height, left : left + width]),
    )


def _tiff(path: Path) -> Scene:
    scene = _by_rasterio(path) or _mapped(path)
    if scene is not None:
        return scene
    opened = open_image(path)
    return _of_picture(opened) if isinstance(opened, Image.Image) else _of_array(opened)


def _by_rasterio(path: Path) -> Scene | None:
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.windows import Window
    except ImportError:
        return None
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a photograph is no map
        try:
            # Only this driver: others read what a file refers to.
            data: Any = rasterio.open(path, driver="GTiff")
        except RasterioError as error:
            raise StorageError(f"{path}: not read by rasterio: {error}.") from error
        kinds = [band.name for band in data.colorinterp]
        if kinds == ["palette"] or data.subdatasets:
            data.close()
            return None  # Pillow makes colours of a palette; of several pages, rasterio opens the first alone
    has_alpha = kinds[-1] == "alpha" and len(kinds) in (2, 4) and data.dtypes[0] == "uint8"

    def read(top: int, left: int, height: int, width: int) -> ImageLike:
        try:
            pixels = np.moveaxis(data.read(window=Window(left, top, width, height)), 0, -1)  # type: ignore[call-arg]
        except RasterioError as error:
            raise StorageError(f"{path}: broken image: {error}.") from error
        return _with_transparency(pixels) if has_alpha else pixels

    return Scene((data.height, data.width), read)


def _with_transparency(pixels: np.ndarray) -> Image.Image:
    """Pillow's image, whose transparency the processor composes away."""
    return Image.fromarray(np.ascontiguousarray(pixels))


def _mapped(path: Path) -> Scene | None:
    try:
        import tifffile
    except ImportError:
        return None
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            is_plain = len(file.pages) == 1 and page.is_memmappable and set(page.axes) <= set("YXS")
            if not is_plain or page.axes.startswith("S") or page.photometric.name == "PALETTE" or page.extrasamples:
                return None
        return _of_array(tifffile.memmap(path, mode="r"))
    except Exception as error:  # a broken file makes tifffile raise anything, such as struct's errors
        raise StorageError(f"{path}: broken image: {error}.") from error
