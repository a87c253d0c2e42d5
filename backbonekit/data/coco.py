"""COCO's annotation files: boxes, instance masks, keypoints; panoptic maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from backbonekit.contract.labels import Labels
from backbonekit.contract.options import Length
from backbonekit.data.coco_file import CocoFile, read_coco_file
from backbonekit.data.coco_panoptic import PanopticTargets
from backbonekit.data.file_data import FileData
from backbonekit.data.file_split import FileSplit
from backbonekit.data.packed import PackedRecords
from backbonekit.data.paths import inside
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.coco import cut_boxes, read_annotations

_Names = Annotated[tuple[str, ...], Length(100_000)]


class Coco(FileData):
    """COCO's annotation files: `boxes`, `labels`, `masks`, `keypoints`; of a panoptic file the masks of all segments.

    `root`: the folder of the data set; every other name is relative to it and stays inside. `train`, `val`, `test`: the
    annotation file of each split, `.json`. `train_images`, `val_images`, `test_images`: the folder that the names of
    images are relative to. `train_segments`, `val_segments`, `test_segments`: of a panoptic file the folder with its
    PNG maps; null: the folder beside the file that has its name. `names`: the categories to learn, in this order; null:
    all, in the file's order. `masks`: decode masks where the file has them; false is faster for models of boxes.
    `labels_of`: what the classes of the model are: the `categories` of objects, or the names of their `keypoints`.
    `skip_broken`: leave out annotations that are wrong and images that are missing or cannot be decoded, for which
    every image is read once.

    Crowds are kept, with `iscrowd`; training leaves them out. Boxes without an area are left out.
    Source: https://cocodataset.org/#format-data.
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
        train_segments: str | None = None,
        val_segments: str | None = None,
        test_segments: str | None = None,
        names: _Names | None = None,
        masks: bool = True,
        labels_of: Literal["categories", "keypoints"] = "categories",
        skip_broken: bool = False,
    ) -> None:
        super().__init__(root, {"train": train, "val": val, "test": test}, skip_broken=skip_broken)
        self._images = {"train": train_images, "val": val_images, "test": test_images}
        self._segments = {"train": train_segments, "val": val_segments, "test": test_segments}
        self._names = names
        self._masks = masks
        self._labels_of = labels_of
        self._read: dict[Path, CocoFile] = {}

    def read_labels(self, name: str) -> Labels:
        path = inside(self.root, self.given[name], option=f"data.{name}")
        file = self._file(path)
        if self._labels_of == "categories":
            return file.labels
        if file.keypoints is None:
            raise StorageError(f"{path}: no category has keypoints; data.labels_of=categories reads objects.")
        return Labels(file.keypoints)

    def _file(self, path: Path) -> CocoFile:
        """A file is large: it is read once for its labels and its split, and no longer kept than until then."""
        if path not in self._read:
            self._read = {path: read_coco_file(path, self._names)}
        return self._read[path]

    def read_split(self, name: str) -> FileSplit:
        path = inside(self.root, self.given[name], option=f"data.{name}")
        folder = inside(self.root, self._images[name], option=f"data.{name}_images")
        labels = self.labels
        file = self._file(path)
        if self.read_labels(name) != labels:
            first = self.given[next(iter(self.given))]
            raise StorageError(f"{path}: its categories are not those of {first}; data.names selects the same ones.")
        self._read = {}
        files = [one["file_name"] for one in file.images]
        ids = [one["id"] for one in file.images]
        faults = list(file.faults)
        if file.is_panoptic:
            segments = self._segments[name] or str(Path(self.given[name]).with_suffix(""))
            maps = inside(self.root, segments, option=f"data.{name}_segments")
            targets = PanopticTargets(maps, file)
            split = FileSplit(folder, files, targets, ids=ids, faults=faults)
            return split.without(list(targets.faults), list(targets.faults.values()))
        targets = ObjectTargets(file, faults, with_masks=self._masks)
        noted = [(one.get("height"), one.get("width")) for one in file.images]
        sizes = [(height, width) for height, width in noted if isinstance(height, int) and isinstance(width, int)]
        known = sizes if len(sizes) == len(noted) else None
        return FileSplit(folder, files, targets, ids=ids, faults=faults, notes=_notes(file), sizes=known)


class ObjectTargets:
    """The objects of an image, by its index in the file."""

    def __init__(self, file: CocoFile, faults: list[str], *, with_masks: bool) -> None:
        """Adds to `faults` objects without a mask in a file where others have one."""
        has_masks = with_masks and any(one.get("segmentation") for objects in file.objects for one in objects)
        objects = _with_masks(file, faults) if has_masks else file.objects
        self._objects = PackedRecords([_learned(one, has_masks) for one in each] for each in objects)
        self._sizes = [(image.get("height"), image.get("width")) for image in file.images]
        assert file.labels.category_ids is not None
        self._classes = {category: index for index, category in enumerate(file.labels.category_ids)}
        self._has_masks = has_masks

    def __call__(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        _check_size(self._sizes[index], size)
        objects = self._objects[index]
        target: Any = read_annotations(objects, self._classes, size=size, with_masks=self._has_masks, with_crowds=True)
        return {**target, "boxes": cut_boxes(target["boxes"], size)}


def _with_masks(file: CocoFile, faults: list[str]) -> list[list[Mapping[str, Any]]]:
    kept: list[list[Mapping[str, Any]]] = []
    for image, objects in zip(file.images, file.objects, strict=True):
        kept.append([one for one in objects if one.get("segmentation")])
        faults += [
            f"{image['file_name']}: annotation {one.get('id')} has no segmentation, and others have; data.masks=false "
            "learns from boxes alone."
            for one in objects
            if not one.get("segmentation")
        ]
    return kept


def _notes(file: CocoFile) -> list[str]:
    empty = sum(not (one["bbox"][2] and one["bbox"][3]) for objects in file.objects for one in objects)
    crowds = sum(bool(one.get("iscrowd")) for objects in file.objects for one in objects)
    notes = [(empty, "boxes without an area are left out"), (crowds, "crowds are not learned")]
    return [f"{count:,} {what}." for count, what in notes if count]


_LEARNED = ("bbox", "category_id", "iscrowd", "area", "keypoints")


def _learned(one: Mapping[str, Any], with_mask: bool) -> dict[str, Any]:
    """Without what nothing reads, which would fill the memory."""
    keys: Sequence[str] = (*_LEARNED, "segmentation") if with_mask else _LEARNED
    return {key: one[key] for key in keys if key in one}


def _check_size(noted: tuple[Any, Any], size: tuple[int, int]) -> None:
    """Raises ContractError where the image has another size than the annotations say."""
    if None not in noted and noted != size:
        raise ContractError(
            f"the image has {size[0]} x {size[1]} pixels (height x width), its annotations say {noted[0]} x {noted[1]}"
            f"{', so it was turned after it was annotated' if noted == size[::-1] else ''}."
        )
