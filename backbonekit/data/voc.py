"""Pascal VOC: one XML file for each image, and lists of images."""

from pathlib import Path
from typing import Annotated, Any, Literal

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length
from backbonekit.data.box_targets import box_target
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.packed import PackedRecords
from backbonekit.data.paths import image_files, inside, is_inside
from backbonekit.data.voc_file import read_objects
from backbonekit.errors import StorageError, nearest
from backbonekit.weights.untrusted_files import read_regular

_Read = tuple[Path, list[str], list[list[dict[str, Any]]], dict[int, str]]


class Voc(FileData):
    """Pascal VOC's XML files: `boxes`, `labels`; difficult objects have `iscrowd`, so that nothing counts them.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: a
    list of images without their suffix (`ImageSets/Main/train.txt`), or a folder of images with their XML files beside
    them. `annotations`: the folder of XML files that lists refer to. `images`: the folder of images that lists refer
    to. `names`: the classes, in this order; null: those of the first split that is given, by name. `first_pixel`: the
    number of the first pixel of a row: 1 as in VOC, where a box holds its last pixel, or 0. `difficult`: what becomes
    of objects marked so: `ignored`, or `learned` as others. `skip_broken`: leave out images with a wrong annotation and
    images that are missing or cannot be decoded, for which every image is read once.

    Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html.
    """

    def __init__(
        self,
        *,
        root: str,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        annotations: str = "Annotations",
        images: str = "JPEGImages",
        names: Annotated[tuple[str, ...], Length(100_000)] | None = None,
        first_pixel: Literal[0, 1] = 1,
        difficult: Literal["ignored", "learned"] = "ignored",
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._annotations = annotations
        self._images = images
        self._names = names
        self._first_pixel = first_pixel
        self._difficult = difficult
        self._last: dict[str, _Read] = {}

    def read_labels(self, name: str) -> Labels:
        if self._names is not None:
            return Labels(self._names)
        _, _, objects, _ = self._read_once(name)
        found = {one["name"] for each in objects for one in each}
        if not found:
            raise StorageError(f"data.{name}={self.given[name]}: no object in its annotations. Or give data.names.")
        return Labels(tuple(sorted(found)))

    def read_split(self, name: str) -> FileSplit:
        assert self.labels is not None
        folder, files, objects, faults = self._read_once(name)
        self._last = {}
        numbers = {label: index for index, label in enumerate(self.labels.names)}
        for index, each in enumerate(objects):
            for one in each:
                if one["name"] not in numbers:
                    hint = nearest(one["name"], numbers)
                    faults.setdefault(index, f"{files[index]}: {one['name']!r} is no class; {hint}")
        learned = [[] if index in faults else each for index, each in enumerate(objects)]
        read = _Boxes(learned, numbers, self._first_pixel, is_ignoring=self._difficult == "ignored")
        return FileSplit(folder, files, read).without(list(faults), list(faults.values()))

    def _read_once(self, name: str) -> _Read:
        """For the labels and for the split."""
        if name not in self._last:
            self._last = {name: self._read(name)}
        return self._last[name]

    def _read(self, name: str) -> _Read:
        """The folder of images, their names, their objects, and a fault for the index of each unusable one."""
        path = inside(self.root, self.given[name], option=f"data.{name}")
        if path.is_dir():
            folder = annotations = path
            files = image_files(path)
            stems = [str(Path(file).with_suffix("")) for file in files]
        else:
            folder = inside(self.root, self._images, option="data.images")
            annotations = inside(self.root, self._annotations, option="data.annotations")
            text = read_regular(path).decode("utf-8-sig", "replace")
            stems = [line.split()[0] for line in text.splitlines() if line.strip()]
            by_stem = {str(Path(file).with_suffix("")): file for file in image_files(folder)}
            files = [by_stem.get(stem, stem) for stem in stems]
        objects: list[list[dict[str, Any]]] = []
        faults: dict[int, str] = {}
        for index, stem in enumerate(stems):
            objects.append([])
            try:
                if not is_inside(stem):
                    raise StorageError(f"{stem!r} leads out of {annotations}.")
                objects[-1] = read_objects(annotations / f"{stem}.xml")
            except StorageError as error:
                faults[index] = str(error)
        return folder, files, objects, faults


class _Boxes:
    """The objects of an image, by its index."""

    def __init__(
        self, objects: list[list[dict[str, Any]]], numbers: dict[str, int], first_pixel: int, *, is_ignoring: bool
    ) -> None:
        self._objects = PackedRecords(objects)
        self._numbers = numbers
        self._first_pixel = first_pixel
        self._is_ignoring = is_ignoring

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        objects = self._objects[index]
        # With 1, a box from 1 to 10 holds ten pixels: from 0 to 10 between their edges.
        corners = [
            [one["box"][0] - self._first_pixel, one["box"][1] - self._first_pixel, *one["box"][2:]] for one in objects
        ]
        ignored = [self._is_ignoring and one["is_difficult"] for one in objects]
        return box_target(corners, [self._numbers[one["name"]] for one in objects], size, ignored)
