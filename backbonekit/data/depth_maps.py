"""Depth: a folder of images and a folder of depth maps, paired by name."""

import os
from typing import Annotated, Any

import numpy as np
import torch

from backbonekit.contract.options import Range
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.paired_files import paired_files
from backbonekit.data.paths import inside
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.reading import open_image
from backbonekit.image_processing.targets import check_grids


class DepthMaps(FileData):
    """A folder of images and a folder of depth maps, paired by name: `depth`.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    folder of images of each split, with any folders below it. `train_depths`, `val_depths`, `test_depths`: the folder
    of its maps: 16-bit PNG, `.npy` or TIFF. `image_suffix`, `depth_suffix`: what ends the names before the dot: with
    `_rgb` and `_depth`, `a_rgb.jpg` goes with `a_depth.png`. `scale`: what the numbers of the files are multiplied by:
    0.001 for millimetres. `farthest`: larger depths are unknown; null: none are. `skip_broken`: leave out images and
    maps that are missing or cannot be decoded, for which every one is read once.

    Depths of 0, below and NaN are unknown.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        train_depths: str | None = None,
        val: str | None = None,
        val_depths: str | None = None,
        test: str | None = None,
        test_depths: str | None = None,
        image_suffix: str = "",
        depth_suffix: str = "",
        scale: Annotated[float, Range(1e-9, 1e9)] = 1.0,
        farthest: Annotated[float, Range(1e-9, 1e9)] | None = None,
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._depths = {"train": train_depths, "val": val_depths, "test": test_depths}
        self._suffixes = image_suffix, depth_suffix
        self._scale = scale
        self._farthest = farthest
        faults = [
            f"data.{name}_depths is missing: the folder of the maps of data.{name}={self.given[name]}."
            for name in self.given
            if self._depths[name] is None
        ]
        if faults:
            raise RecipeError(faults)

    def read_labels(self, name: str) -> None:
        return None

    def read_split(self, name: str) -> FileSplit:
        folder = inside(self.root, self.given[name], option=f"data.{name}")
        maps = inside(self.root, str(self._depths[name]), option=f"data.{name}_depths")
        image_suffix, map_suffix = self._suffixes
        files = paired_files(folder, maps, image_suffix=image_suffix, map_suffix=map_suffix)
        read = _Depths(maps, files.maps, self._scale, self._farthest)
        return FileSplit(folder, files.images, read).without(list(files.faults), list(files.faults.values()))


class _Depths:
    """The depth map of an image, by its index."""

    def __init__(self, folder: os.PathLike[str], names: list[str], scale: float, farthest: float | None) -> None:
        self._folder = folder
        self._names = names
        self._scale = scale
        self._farthest = farthest

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        numbers = np.asarray(open_image(os.path.join(self._folder, self._names[index])))
        if numbers.ndim == 3 and numbers.shape[-1] == 1:
            numbers = numbers[..., 0]
        if numbers.ndim != 2:
            raise ContractError(
                f"{self._names[index]} has the shape {list(numbers.shape)}: colours, no depths. A depth map is "
                "[height, width]: a 16-bit PNG, .npy or TIFF."
            )
        depth = torch.from_numpy(numbers.astype(np.float32)) * self._scale
        target: Any = {"depth": depth if self._farthest is None else depth.masked_fill(depth > self._farthest, 0)}
        check_grids(target, size)
        return target
