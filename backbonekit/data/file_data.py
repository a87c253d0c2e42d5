"""The role of a format whose images are files: which splits were given, read once, refused or cut down when broken."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from backbonekit.contract.labels import Labels
from backbonekit.data.broken import refuse
from backbonekit.data.file_split import FileSplit
from backbonekit.data.paths import root_folder
from backbonekit.errors import RecipeError, nearest


class FileData(ABC):
    """A `DataSource` of files below one folder.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `skip_broken`: leave out
    annotations that are wrong and images that are missing or cannot be decoded, for which every image is read once;
    without it they are one message with their names.
    """

    def __init__(self, root: str, splits: Mapping[str, str | None], *, skip_broken: bool) -> None:
        self.root: Path = root_folder(root)
        self.given = {name: where for name, where in splits.items() if where is not None}
        self.skip_broken = skip_broken
        self._splits: dict[str, FileSplit] = {}
        if not self.given:
            raise RecipeError(f"no split: give at least one of {', '.join(f'data.{name}' for name in splits)}.")

    @cached_property
    def labels(self) -> Labels | None:
        """The classes, as the first split that was given has them."""
        return self.read_labels(next(iter(self.given)))

    def split(self, name: str) -> FileSplit:
        """Raises RecipeError for a split that was not given, StorageError for a broken one."""
        if name not in self._splits:
            examined = self.examined(name)
            if self.skip_broken:
                examined = examined.without_unreadable()
            else:
                refuse(examined.faults, source=f"data.{name}={self.given[name]}")
            if not len(examined):
                raise RecipeError(f"data.{name}={self.given[name]}: no image of it can be used.")
            self._splits[name] = examined
        return self._splits[name]

    def examined(self, name: str) -> FileSplit:
        """The images of a split whose files are there, with the faults of all others; none is decoded."""
        if name not in self.given:
            raise RecipeError(f"data has no split {name!r}; {nearest(name, self.given)} Give data.{name}=...")
        return self.read_split(name).without_absent()

    @abstractmethod
    def read_labels(self, name: str) -> Labels | None:
        """The classes that a split names, or None where the format has none."""

    @abstractmethod
    def read_split(self, name: str) -> FileSplit:
        """All images of a split, with the faults of its annotations."""
