"""Data sets of the Hugging Face Hub, or folders in their formats, by the names of columns."""

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torchvision.ops import box_convert

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length, Range
from backbonekit.data.box_targets import box_target
from backbonekit.errors import RecipeError, StorageError, nearest
from backbonekit.image_processing.class_map import class_map
from backbonekit.image_processing.pixels import size_of
from backbonekit.image_processing.reading import decode_image, open_image

_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` writes into its folder


class HfDatasets:
    """Data sets of the Hugging Face Hub by the names of columns: `class`, `boxes` with `labels`, `segmentation`,
    `depth`.

    `dataset`: a repository of the Hub, or a folder: of Parquet or other files, or saved by `save_to_disk`.
    `configuration`, `revision`: of the repository. `train`, `val`, `test`: the data set's own name of each split.
    `image_column`: the images. `label_column`: the class of each image. `objects_column`: its objects.
    `box_key`, `category_key`: in them, the lists of boxes and of classes. `box_format`: of their boxes: x, y, width,
    height, or two corners, in pixels. `segmentation_column`: its map of classes. `depth_column`: its depth map.
    `scale`: what its depths are multiplied by. `names`: the classes by number; null: those of the column, where it has
    names. `skip_broken`: leave out rows whose image or target cannot be read, for which every row is read once.

    Needs the package `datasets`: pip install 'backbonekit[datasets]'.
    """

    def __init__(
        self,
        *,
        dataset: str,
        configuration: str | None = None,
        revision: str | None = None,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        image_column: str = "image",
        label_column: str | None = None,
        objects_column: str | None = None,
        box_key: str = "bbox",
        category_key: str = "category",
        box_format: Literal["xywh", "xyxy"] = "xywh",
        segmentation_column: str | None = None,
        depth_column: str | None = None,
        scale: Annotated[float, Range(1e-9, 1e9)] = 1.0,
        names: Annotated[tuple[str, ...], Length(100_000)] | None = None,
        skip_broken: bool = False,
    ) -> None:
        given = {"train": train, "val": val, "test": test}
        self._given = {name: split for name, split in given.items() if split is not None}
        self._where = dataset, configuration, revision
        self._columns = {
            "image": image_column,
            "class": label_column,
            "objects": objects_column,
            "segmentation": segmentation_column,
            "depth": depth_column,
        }
        self._keys = box_key, category_key
        self._box_format = box_format
        self._scale = scale
        self._names = names
        self._skip_broken = skip_broken
        self._opened: dict[str, Any] = {}
        self._splits: dict[str, TableSplit] = {}
        if not self._given:
            raise RecipeError(
                "no split: give at least one of data.train, data.val, data.test, such as data.train=train."
            )
        if not any(column for kind, column in self._columns.items() if kind != "image"):
            raise RecipeError(
                "nothing to learn: give data.label_column, data.objects_column, data.segmentation_column or "
                "data.depth_column."
            )

    @cached_property
    def labels(self) -> Labels | None:
        """The names of the column of classes."""
        if self._names is not None:
            return Labels(self._names)
        features = self._table(next(iter(self._given))).features
        found = None
        if self._columns["class"]:
            found = features[self._columns["class"]]
        elif self._columns["objects"]:
            found = _inner(features[self._columns["objects"]])
            found = _inner(found[self._keys[1]]) if isinstance(found, Mapping) and self._keys[1] in found else None
        names = None if found is None else _class_names(found)
        return None if names is None else Labels(names)

    def split(self, name: str) -> "TableSplit":
        """Raises RecipeError for a split that was not given, or of which nothing can be used."""
        if name not in self._splits:
            split = self.examined(name)
            split = split.without_unreadable() if self._skip_broken else split
            if not len(split):
                raise RecipeError(f"data.{name}={self._given[name]}: no image of it can be used.")
            self._splits[name] = split
        return self._splits[name]

    def examined(self, name: str) -> "TableSplit":
        """All rows of a split; none is decoded."""
        if name not in self._given:
            raise RecipeError(f"data has no split {name!r}; {nearest(name, self._given)} Give data.{name}=...")
        shown = f"{self._where[0]}[{self._given[name]}]"
        return TableSplit(self._table(name), shown, self._columns, self._keys, self._box_format, self._scale)

    def _table(self, name: str) -> Any:
        """The rows of a split, images not decoded. Raises StorageError for columns that it does not have."""
        if name not in self._opened:
            table = _load(*self._where, self._given[name])
            missing = [column for column in self._columns.values() if column and column not in table.features]
            if missing:
                raise StorageError(
                    f"{self._where[0]} has no column {missing[0]!r}; {nearest(missing[0], table.features)}"
                )
            self._opened[name] = _not_decoded(table)
        return self._opened[name]


class TableSplit:
    """A `Split` of the rows of a table. `shown`: its name in messages; the rest as the options of `HfDatasets`. A row
    keeps its number where others are left out."""

    def __init__(
        self,
        table: Any,
        shown: str,
        columns: Mapping[str, str | None],
        keys: tuple[str, str],
        box_format: str,
        scale: float,
    ) -> None:
        self._table = table
        self._shown = shown
        self._columns = columns
        self._box_key, self._category_key = keys
        self._box_format = box_format
        self._scale = scale
        self._kept = np.arange(len(table))

    def __len__(self) -> int:
        return len(self._kept)

    def name(self, index: int) -> str:
        return f"{self._shown}[{self.image_id(index)}]"

    def image_id(self, index: int) -> int:
        return int(self._kept[index])

    def without_unreadable(self) -> "TableSplit":
        """Without the rows whose image or target cannot be read: every one is read once."""
        rest = copy(self)
        rest._kept = self._kept[[self._is_readable(index) for index in range(len(self))]]
        return rest

    def _is_readable(self, index: int) -> bool:
        try:
            self[index]
        except StorageError:
            return False
        return True

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any]]:
        row = self._table[self.image_id(index)]
        try:
            image = self._decoded(row[self._columns["image"]], index)
            target = self._target(row, size_of(image), index)
        except StorageError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(f"{self.name(index)}: {error}") from error
        return image, {**target, "image_id": self.image_id(index)}

    def _target(self, row: Mapping[str, Any], size: tuple[int, int], index: int) -> dict[str, Any]:
        target: dict[str, Any] = {}
        given = {kind: row[column] for kind, column in self._columns.items() if column}
        if "class" in given:
            target["class"] = torch.as_tensor(given["class"])
        if "objects" in given:
            boxes = torch.tensor(given["objects"][self._box_key], dtype=torch.float32).reshape(-1, 4)
            kept = torch.ones(len(boxes), dtype=torch.bool)
            if self._box_format == "xywh":
                kept = (boxes[:, 2:] > 0).all(dim=1) | (boxes[:, 2:] < 0).any(dim=1)  # negative sizes are refused
                boxes = box_convert(boxes, "xywh", "xyxy")
            labels = torch.tensor(given["objects"][self._category_key], dtype=torch.int64)
            target |= box_target(boxes[kept].tolist(), labels[kept].tolist(), size)
        if "segmentation" in given:
            target["segmentation"] = class_map(self._decoded(given["segmentation"], index))
        if "depth" in given:
            depth = np.asarray(self._decoded(given["depth"], index)).astype(np.float32)
            target["depth"] = torch.from_numpy(depth) * self._scale
        return target

    def _decoded(self, value: Any, index: int) -> Any:
        """An image as its file has it; what is no image stays."""
        if not isinstance(value, Mapping) or not {"bytes", "path"} <= set(value):
            return np.asarray(value)
        if value["bytes"] is not None:
            return decode_image(value["bytes"], shown=self.name(index))
        return open_image(value["path"])


def _load(dataset: str, configuration: str | None, revision: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise StorageError(
            "data=hf_datasets needs the package `datasets`. The fix: pip install 'backbonekit[datasets]'."
        ) from error
    try:
        if any((Path(dataset) / name).is_file() for name in _SAVED):
            saved = datasets.load_from_disk(dataset)
            return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(dataset, configuration, revision=revision, split=split)
    except Exception as error:  # it raises errors of fsspec, pyarrow, huggingface_hub and its own
        reason = " ".join(str(error).split())[:500]
        raise StorageError(f"data.dataset={dataset}, split {split!r}, could not be read: {reason}") from error


def _not_decoded(table: Any) -> Any:
    """Images as bytes: they are decoded here, as untrusted files, and not by every decoder that Pillow has."""
    import datasets

    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _inner(feature: Any) -> Any:
    """Of a list what its items are."""
    import datasets

    if isinstance(feature, list):
        return feature[0]
    return feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature


def _class_names(feature: Any) -> tuple[str, ...] | None:
    import datasets

    return tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
