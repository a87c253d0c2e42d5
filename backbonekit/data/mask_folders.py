"""Semantic segmentation: a folder of images and a folder of maps, paired by name."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image

from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.label_map import IGNORE, read_label_map
from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length, Range
from backbonekit.contract.processing import LabelMap
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.paired_files import paired_files
from backbonekit.data.palette import Palette
from backbonekit.data.paths import inside
from backbonekit.errors import RecipeError
from backbonekit.image_processing.class_map import class_map
from backbonekit.image_processing.reading import open_image
from backbonekit.image_processing.relabel import relabelled_target
from backbonekit.image_processing.targets import check_grids
from backbonekit.ops.targets import check_labels

_Colour = tuple[Annotated[int, Range(0, 255)], Annotated[int, Range(0, 255)], Annotated[int, Range(0, 255)]]


class MaskFolders(FileData):
    """A folder of images and a folder of maps with the class of every pixel, paired by name: `segmentation`.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    folder of images of each split, with any folders below it. `train_masks`, `val_masks`, `test_masks`: the folder of
    its maps: of one number a pixel (a grey or palette PNG, `.npy`), or of colours with `palette`. `image_suffix`,
    `mask_suffix`: what ends the names before the dot: with `_leftImg8bit` and `_labelIds`, `a_leftImg8bit.png` goes
    with `a_labelIds.png`. `names`: the classes by number. `label_map`: the classes of the numbers in the files, as
    `{7: 0, 8: 1, 0: ignore}`; numbers that it does not name stay. `palette`: the colour of each class,
    `{road: [128, 64, 128], ignore: [0, 0, 0]}`, instead of `names`; a colour that is not in it is a fault.
    `skip_broken`: leave out images and maps that are missing or cannot be decoded, for which every one is read once.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        train_masks: str | None = None,
        val: str | None = None,
        val_masks: str | None = None,
        test: str | None = None,
        test_masks: str | None = None,
        image_suffix: str = "",
        mask_suffix: str = "",
        names: Annotated[tuple[str, ...], Length(100_000)] | None = None,
        label_map: LabelMap | None = None,
        palette: Mapping[str, _Colour] | None = None,
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._masks = {"train": train_masks, "val": val_masks, "test": test_masks}
        self._suffixes = image_suffix, mask_suffix
        self._label_map = read_label_map(label_map or {})
        self._palette = None if palette is None else Palette(palette)
        self._names = names if palette is None else tuple(name for name in palette if name != IGNORE)
        faults = [
            f"data.{name}_masks is missing: the folder of the maps of data.{name}={self.given[name]}."
            for name in self.given
            if self._masks[name] is None
        ]
        if palette is not None and (names is not None or label_map):
            faults.append("data.palette says what the classes are; leave out data.names and data.label_map.")
        if faults:
            raise RecipeError(faults)

    def read_labels(self, name: str) -> Labels | None:
        """With the numbers of the files as category ids, where `label_map` has one for each class."""
        if self._names is None:
            return None
        numbers = [number for number in self._label_map.values() if number is not None]
        once = {number for number, times in Counter(numbers).items() if times == 1}
        files = {number: label for label, number in self._label_map.items() if number is not None}
        is_complete = once == set(range(len(self._names)))
        ids = tuple(files[index] for index in range(len(self._names))) if is_complete else None
        return Labels(self._names, category_ids=ids)

    def read_split(self, name: str) -> FileSplit:
        folder = inside(self.root, self.given[name], option=f"data.{name}")
        maps = self._masks[name]
        assert maps is not None
        maps_folder = inside(self.root, maps, option=f"data.{name}_masks")
        image_suffix, mask_suffix = self._suffixes
        files = paired_files(folder, maps_folder, image_suffix=image_suffix, map_suffix=mask_suffix)
        number = ignored_label(None, None if self._names is None else len(self._names))
        num_labels = None if self._names is None else max(2, len(self._names))  # one class has the labels 0 and 1
        read = _Maps(maps_folder, files.maps, self._palette, self._label_map, number, num_labels)
        return FileSplit(folder, files.images, read).without(list(files.faults), list(files.faults.values()))


class _Maps:
    """The segmentation of an image, by its index."""

    def __init__(
        self,
        folder: os.PathLike[str],
        names: list[str],
        palette: Palette | None,
        label_map: Mapping[int, int | None],
        ignore_label: int,
        num_labels: int | None,
    ) -> None:
        self._folder = folder
        self._names = names
        self._palette = palette
        self._label_map = label_map
        self._ignore_label = ignore_label
        self._num_labels = num_labels

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        given = open_image(os.path.join(self._folder, self._names[index]))
        if self._palette is None:
            segmentation = class_map(given)
        else:
            colours = np.asarray(given.convert("RGB") if isinstance(given, Image.Image) else given)
            segmentation = torch.from_numpy(self._palette.classes(colours, self._ignore_label))
        target: Any = relabelled_target({"segmentation": segmentation}, self._label_map, self._ignore_label)
        check_grids(target, size)
        if self._num_labels is not None:
            check_labels(target["segmentation"], self._num_labels, key="segmentation", ignore_label=self._ignore_label)
        return target
