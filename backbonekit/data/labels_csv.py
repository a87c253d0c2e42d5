"""Image classification from a table: one row an image, with one label, several or none."""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.paths import inside
from backbonekit.errors import StorageError, nearest
from backbonekit.weights.untrusted_files import read_regular

_LARGEST = 2 * 2**30  # bytes
_YES, _NO = frozenset(("1", "1.0", "true", "True")), frozenset(("0", "0.0", "false", "False", ""))


class LabelsCsv(FileData):
    """A table with a row for each image, for images with several classes: `class`, 0 or 1 for each of them.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    table of each split, `.csv` with a line of headings. `train_images`, `val_images`, `test_images`: the folder that
    the names of images are relative to. `image_column`: the heading of the names; null: the first column.
    `labels_column`: the column with the names of an image's classes; null: every other column is a class, with 1 or 0.
    `label_separator`: between the names of that column. `delimiter`: between columns. `names`: the classes, in this
    order; null: those of the first split that is given, by name, or the columns. `multi_label`: false for images of one
    class each: `class` is its number. `skip_broken`: leave out rows that are wrong and images that are missing or
    cannot be decoded, for which every image is read once.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        train_images: str = ".",
        val_images: str = ".",
        test_images: str = ".",
        image_column: str | None = None,
        labels_column: str | None = None,
        label_separator: str = "|",
        delimiter: str = ",",
        names: Annotated[tuple[str, ...], Length(100_000)] | None = None,
        multi_label: bool = True,
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._images = {"train": train_images, "val": val_images, "test": test_images}
        self._image_column = image_column
        self._labels_column = labels_column
        self._separator = label_separator
        self._names = names
        self._multi_label = multi_label
        self._table = partial(_table, delimiter=delimiter)

    def read_labels(self, name: str) -> Labels:
        if self._names is not None:
            return Labels(self._names)
        path = inside(self.root, self.given[name], option=f"data.{name}")
        headings, rows = self._table(path)
        image = self._column(path, headings, self._image_column, "image_column")
        if self._labels_column is None:
            found = [heading for index, heading in enumerate(headings) if index != image]
        else:
            column = self._column(path, headings, self._labels_column, "labels_column")
            found = sorted({one for row in rows if len(row) == len(headings) for one in self._split(row[column])})
        if not found:
            raise StorageError(f"{path}: no classes in it.")
        return Labels(tuple(found))

    def read_split(self, name: str) -> FileSplit:
        path = inside(self.root, self.given[name], option=f"data.{name}")
        folder = inside(self.root, self._images[name], option=f"data.{name}_images")
        assert self.labels is not None
        headings, rows = self._table(path)
        image = self._column(path, headings, self._image_column, "image_column")
        numbers = {label: index for index, label in enumerate(self.labels.names)}
        columns = self._class_columns(path, headings, numbers)
        faults: list[str] = []
        files: list[str] = []
        classes = np.zeros((len(rows), len(numbers)), dtype=bool)
        for line, row in enumerate(rows, 2):  # as editors count, behind the headings
            found, fault = self._classes(row, headings, columns, numbers)
            if fault:
                faults.append(f"{path.name}, line {line}: {fault}")
                continue
            classes[len(files), found] = True
            files.append(row[image])
        return FileSplit(folder, files, _Classes(classes[: len(files)], self._multi_label), faults=faults)

    def _class_columns(self, path: Path, headings: Sequence[str], numbers: dict[str, int]) -> list[int]:
        """The column of each class, or the one with their names."""
        if self._labels_column is not None:
            return [self._column(path, headings, self._labels_column, "labels_column")]
        return [self._column(path, headings, name, "names") for name in numbers]

    def _classes(
        self, row: Sequence[str], headings: Sequence[str], columns: Sequence[int], numbers: dict[str, int]
    ) -> tuple[list[int], str]:
        """The classes of a row, and what is wrong with it."""
        if len(row) != len(headings):
            return [], f"{len(row)} values for {len(headings)} columns."
        if self._labels_column is not None:
            given = self._split(row[columns[0]])
            unknown = [one for one in given if one not in numbers]
            if unknown:
                return [], f"{unknown[0]!r} is no class; {nearest(unknown[0], numbers)}"
            found = [numbers[one] for one in given]
        else:
            values = [row[column].strip() for column in columns]
            wrong = [value for value in values if value not in _YES and value not in _NO]
            if wrong:
                return [], f"{wrong[0][:50]!r} where 1 or 0 is expected."
            found = [index for index, value in enumerate(values) if value in _YES]
        if not self._multi_label and len(found) != 1:
            return [], f"{len(found)} classes, and with data.multi_label=false each image has one."
        return found, ""

    def _split(self, value: str) -> list[str]:
        parts = value.split(self._separator) if self._multi_label and self._separator else [value]
        return [part.strip() for part in parts if part.strip()]

    def _column(self, path: Path, headings: Sequence[str], name: str | None, option: str) -> int:
        if name is None:
            return 0
        if name not in headings:
            raise StorageError(f"{path}: data.{option} has {name!r}; {nearest(name, headings)}")
        return headings.index(name)


class _Classes:
    """The classes of an image, by its index."""

    def __init__(self, classes: np.ndarray, multi_label: bool) -> None:
        self._classes = classes
        self._multi_label = multi_label

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        row = torch.from_numpy(self._classes[index])
        return {"class": row.float() if self._multi_label else row.int().argmax()}


def _table(path: Path, delimiter: str) -> tuple[list[str], list[list[str]]]:
    """(headings, rows without empty ones)."""
    try:
        text = read_regular(path, limit=_LARGEST).decode("utf-8-sig")
        headings, *rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is no UTF-8 text.") from error
    except (csv.Error, TypeError, ValueError) as error:  # TypeError: a delimiter of several characters
        raise StorageError(f"{path} is no table with a line of headings: {error}.") from error
    return [heading.strip() for heading in headings], rows
