"""YOLO's text files: one for each image, a line for each object."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import torch
import yaml

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length
from backbonekit.data.box_targets import box_target
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.packed import PackedRecords
from backbonekit.data.paths import absent, image_files, inside, is_inside
from backbonekit.errors import StorageError
from backbonekit.image_processing.coco import object_mask
from backbonekit.weights.untrusted_files import read_regular

_Names = Annotated[tuple[str, ...], Length(100_000)]
_IMAGES, _LABELS = "images", "labels"
Objects = Literal["boxes", "polygons", "keypoints"]


class Yolo(FileData):
    """YOLO's text files, `images/a.jpg` with `labels/a.txt`: `boxes`, `labels`; `masks` or `keypoints`.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    folder of images of each split, with a folder named `images` in its path where the text files have `labels`; or a
    `.txt` list of images. `names`: the classes by number; null: those of `names_file`. `names_file`: a `data.yaml` with
    `names`, or a text file with a name in each line. `objects`: what a line holds behind the class: a box (centre and
    size), a polygon, or a box and keypoints (x, y, visibility), all in 0..1 of the image. `keypoint_names`: the names
    of the keypoints, which are then the labels of the data. `skip_broken`: leave out images with a wrong line and
    images that are missing or cannot be decoded, for which every image is read once.

    An image without a text file has no objects.
    Source: https://docs.ultralytics.com/datasets/detect.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        names: _Names | None = None,
        names_file: str = "data.yaml",
        objects: Objects = "boxes",
        keypoint_names: _Names | None = None,
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._names = names
        self._names_file = names_file
        self._objects: Objects = objects
        self._keypoint_names = keypoint_names

    def read_labels(self, name: str) -> Labels:
        return Labels(self._keypoint_names or self._classes())

    def read_split(self, name: str) -> FileSplit:
        path = inside(self.root, self.given[name], option=f"data.{name}")
        if path.is_file():
            files = [line.strip().removeprefix("./") for line in _text(path).splitlines() if line.strip()]
        else:
            files = [f"{PurePosixPath(self.given[name])}/{file}" for file in image_files(path)]
        # A name that leads out of the folder has no text file, and is refused with the images.
        texts = [_text_file(file) if is_inside(file) else "" for file in files]
        if None in texts:
            wrong = files[texts.index(None)]
            raise StorageError(
                f"{path}: {wrong} lies in no folder named {_IMAGES!r}, so its text file, in {_LABELS!r}, is not known."
            )
        missing = absent(self.root, (text for text in texts if text))
        if missing and missing == set(filter(None, texts)):
            raise StorageError(f"{path}: none of its {len(files):,} images has a text file, such as {texts[0]}.")
        num_classes = len(self._classes())
        faults: dict[int, str] = {}
        objects: list[list[list[float]]] = []
        for index, text in enumerate(texts):
            assert text is not None
            try:
                lines = [] if not text or text in missing else _text(self.root / text).splitlines()
                objects.append([self._object(line, num_classes) for line in lines if line.strip()])
            except (ValueError, StorageError) as error:
                objects.append([])
                faults[index] = f"{text}: {error}"
        split = FileSplit(self.root, files, _Objects(objects, self._objects))
        return split.without(list(faults), list(faults.values()))

    def _object(self, line: str, num_classes: int) -> list[float]:
        """The numbers of a line. Raises ValueError for a wrong one."""
        try:
            numbers = [float(word) for word in line.split()]
        except ValueError:
            raise ValueError(f"{line[:80]!r} holds something that is no number.") from None
        if not numbers[0].is_integer() or not 0 <= numbers[0] < num_classes:
            raise ValueError(f"{line[:80]!r}: the class {numbers[0]:g} is none of 0 to {num_classes - 1}.")
        count, points = len(numbers) - 1, self._keypoint_names
        counts = {
            "boxes": count == 4,
            "polygons": count >= 6 and count % 2 == 0,
            "keypoints": count > 4 and (count - 4) % 3 == 0 and (points is None or count == 4 + 3 * len(points)),
        }
        if not counts[self._objects]:
            raise ValueError(f"{line[:80]!r}: {count} numbers behind the class are no {self._objects}; data.objects.")
        places = numbers[1:] if self._objects == "polygons" else numbers[1:5]
        if not all(-0.01 <= number <= 1.01 for number in places):  # rounded numbers leave the image by a little
            raise ValueError(f"{line[:80]!r}: positions are in 0..1 of the image's width and height.")
        return numbers

    def _classes(self) -> tuple[str, ...]:
        if self._names is not None:
            return self._names
        path = inside(self.root, self._names_file, option="data.names_file")
        if path.suffix.lower() not in (".yaml", ".yml"):
            names: Any = [line.strip() for line in _text(path).splitlines() if line.strip()]
        else:
            try:
                content = yaml.safe_load(_text(path))
            except yaml.YAMLError as error:
                raise StorageError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}.") from error
            names = content.get("names") if isinstance(content, Mapping) else None
        if isinstance(names, Mapping) and set(names) == set(range(len(names))):
            names = [names[index] for index in range(len(names))]
        if not isinstance(names, list) or not names:
            raise StorageError(f"{path}: no list `names`, nor one name for each number from 0. Or give data.names.")
        return tuple(map(str, names))


class _Objects:
    """The objects of an image, by its index."""

    def __init__(self, objects: list[list[list[float]]], kind: Objects) -> None:
        self._objects = PackedRecords(objects)
        self._kind = kind

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        lines: list[list[float]] = self._objects[index]
        labels = [int(line[0]) for line in lines]
        height, width = size
        if self._kind == "polygons":
            return _polygons([line[1:] for line in lines], labels, size)
        boxes = torch.tensor([line[1:5] for line in lines]).reshape(-1, 4) * torch.tensor([width, height] * 2)
        corners = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)
        if self._kind == "boxes":
            return box_target(corners.tolist(), labels, size)
        kept = [index for index, box in enumerate(boxes.tolist()) if box[2] > 0 and box[3] > 0]
        target = box_target(corners[kept].tolist(), [labels[index] for index in kept], size)
        points = torch.tensor([lines[index][5:] for index in kept], dtype=torch.float32)
        scale = torch.tensor([width, height, 1.0])
        return {**target, "keypoints": points.reshape(len(kept), -1, 3) * scale}


def _polygons(polygons: list[list[float]], labels: list[int], size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    corners, masks = [], []
    for polygon in polygons:
        points = torch.tensor(polygon).reshape(-1, 2) * torch.tensor([width, height])
        corners.append([*points.amin(dim=0).tolist(), *points.amax(dim=0).tolist()])
        masks.append(object_mask([points.flatten().tolist()], size))
    kept = [index for index, box in enumerate(corners) if box[2] > box[0] and box[3] > box[1]]
    target = box_target([corners[index] for index in kept], [labels[index] for index in kept], size)
    stacked = [masks[index] for index in kept]
    return {**target, "masks": torch.stack(stacked) if stacked else torch.zeros(0, *size, dtype=torch.bool)}


def _text_file(image: str) -> str | None:
    """`a/images/b/c.jpg` -> `a/labels/b/c.txt`: the last folder of that name is exchanged. None without one."""
    parts = list(PurePosixPath(image).with_suffix(".txt").parts)
    folders = [index for index, part in enumerate(parts[:-1]) if part == _IMAGES]
    if not folders:
        return None
    parts[folders[-1]] = _LABELS
    return str(PurePosixPath(*parts))


def _text(path: Path) -> str:
    try:
        return read_regular(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is no UTF-8 text.") from error
