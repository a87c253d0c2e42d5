"""Image classification: one folder for each class."""

import os
from pathlib import Path
from typing import Annotated, Any

import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.paths import image_files, inside
from backbonekit.errors import StorageError, nearest


class ImageFolders(FileData):
    """Folders of images, one for each class, named as the class: `class`.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    folder of each split, in which the folders of the classes are. `names`: the classes, in this order; null: the
    folders of the first split that is given, by name. `skip_broken`: leave out images that cannot be decoded, for which
    every image is read once.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        names: Annotated[tuple[str, ...], Length(100_000)] | None = None,
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._given_names = names

    def read_labels(self, name: str) -> Labels:
        if self._given_names is not None:
            return Labels(self._given_names)
        folder = inside(self.root, self.given[name], option=f"data.{name}")
        found = _folders(folder)
        if not found:
            raise StorageError(f"{folder}: no folders of classes in it. It holds FOLDER_OF_A_CLASS/IMAGE.")
        return Labels(tuple(found))

    def read_split(self, name: str) -> FileSplit:
        folder = inside(self.root, self.given[name], option=f"data.{name}")
        assert self.labels is not None
        numbers = {label: index for index, label in enumerate(self.labels.names)}
        files: list[str] = []
        classes: list[int] = []
        for below in _folders(folder):
            if below not in numbers:
                raise StorageError(
                    f"{folder / below}: is the folder of no class; {nearest(below, numbers)} The classes are those of "
                    f"{'data.names' if self._given_names else f'data.{next(iter(self.given))}'}."
                )
            found = image_files(folder / below)
            files += [f"{below}/{file}" for file in found]
            classes += [numbers[below]] * len(found)
        return FileSplit(folder, files, _Classes(classes))


class _Classes:
    """The class of an image, by its index."""

    def __init__(self, classes: list[int]) -> None:
        self._classes = torch.tensor(classes, dtype=torch.int64)

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        return {"class": self._classes[index].clone()}


def _folders(folder: Path) -> list[str]:
    """The names of the folders in a folder, sorted as every other library sorts them, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise StorageError(f"{folder}: this folder cannot be read: {error.strerror or error}.") from error
