"""A class or depth map of a scene as TIFF, with the scene's georeference."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from backbonekit.contract.results import DepthResult, Result, SemanticResult
from backbonekit.errors import ContractError, StorageError

SUFFIXES = (".tif", ".tiff")
# Where a GeoTIFF's pixels lie: scale, tie points, transformation, and the keys of the coordinate system with their
# numbers and texts.
_GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
_NO_DATA = 42113  # GDAL's tag, a number as text
_ASCII = 2
_TILE = 256  # pixels, so that a viewer reads what it shows


def is_map_file(path: Path) -> bool:
    """Whether maps go into such a file."""
    return path.suffix.lower() in SUFFIXES


def write_map(path: Path, result: Result | dict[str, Result], source: Path) -> bool:
    """Writes one number a pixel: the class (pixels without one have the ignored label), or the depth.

    Returns whether the file has the georeference of `source`. Raises ContractError for a result that is no map,
    StorageError where the file cannot be written.
    """
    if not isinstance(result, (SemanticResult, DepthResult)):
        kind = "several tasks" if isinstance(result, dict) else type(result).__name__
        raise ContractError(
            f"{path}: a TIFF holds a class map or depth, and this is {kind}. The fix: output=FILE.png,"
            " results=FILE.json, or task=semantic."
        )
    try:
        import tifffile
    except ImportError as error:
        raise StorageError(f"{path}: TIFF is written by tifffile. The fix: pip install 'backbonekit[geo]'.") from error
    tags = _geo_tags(source)
    extra: list[Any] = list(tags)
    if isinstance(result, SemanticResult):
        values = _smallest(result.segmentation.numpy())
        extra.append((_NO_DATA, _ASCII, 0, str(result.ignore_label), True))
    else:
        values = result.depth.numpy()
        extra.append((_NO_DATA, _ASCII, 0, "nan", True))
    temporary = path.parent / f".{path.name}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tile = (_TILE, _TILE)
        tifffile.imwrite(
            temporary, values, compression="zlib", tile=tile, metadata=None, photometric="minisblack", extratags=extra
        )
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return bool(tags)


def _smallest(labels: np.ndarray) -> np.ndarray:
    """The same numbers in the smallest type that holds them."""
    for kind in (np.uint8, np.int16, np.int32):
        limits = np.iinfo(kind)
        if limits.min <= labels.min(initial=0) and labels.max(initial=0) <= limits.max:
            return labels.astype(kind)
    return labels


def _geo_tags(source: Path) -> list[tuple[int, int, int, Any, bool]]:
    """The tags of the first page of a TIFF that say where it lies."""
    import tifffile

    if source.suffix.lower() not in SUFFIXES:
        return []
    try:
        with tifffile.TiffFile(source) as file:
            tags: Any = file.pages[0].tags  # type: ignore[union-attr]
            found = [tags[code] for code in _GEO_TAGS if code in tags]
            return [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]
    except Exception as error:  # a broken file makes tifffile raise anything, such as struct's errors
        raise StorageError(f"{source}: broken image: {error}.") from error
