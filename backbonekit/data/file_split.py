"""Images in files, each with a target that is read when it is needed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backbonekit.data.paths import absent, is_inside
from backbonekit.errors import StorageError
from backbonekit.image_processing.pixels import size_of
from backbonekit.image_processing.reading import image_size, open_image

_THREADS = 8  # Pillow decodes without Python's lock
# Of an image by its index in the file's order, and its (height, width): the keys of docs/targets.md.
ReadTarget = Callable[[int, tuple[int, int]], dict[str, Any]]


class FileSplit:
    """A `Split` of image files below a folder.

    `names`: relative to the folder. `read`: the target of one. `ids`: of the images; None: their names. `faults`: one
    message for each annotation that was left out. `notes`: what else there is to know about the annotations. `sizes`:
    (height, width) of each, where annotations say it; None: the headers of the files do.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        read: ReadTarget,
        *,
        ids: Sequence[int | str] | None = None,
        faults: Sequence[str] = (),
        notes: Sequence[str] = (),
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.folder = folder
        self.notes = tuple(notes)
        self.faults = tuple(faults)
        self._names = names
        self._read = read
        self._ids = ids
        self._sizes = sizes
        self._kept = np.arange(len(names))

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> tuple[Image.Image | np.ndarray, dict[str, Any]]:
        """Raises StorageError, with the name of the file, for an image or a target that cannot be read."""
        position = int(self._kept[index])
        image = open_image(self.folder / self._names[position])
        try:
            target = self._read(position, size_of(image))
        except (StorageError, ValueError, TypeError, OverflowError) as error:  # an annotation may hold anything
            raise StorageError(f"{self._names[position]}: {error}") from error
        return image, {**target, "image_id": self.image_id(index)}

    def name(self, index: int) -> str:
        return self._names[int(self._kept[index])]

    def image_id(self, index: int) -> int | str:
        return self.name(index) if self._ids is None else self._ids[int(self._kept[index])]

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image, upright. Raises StorageError for a file that cannot be read."""
        kept: list[int] = self._kept.tolist()
        if self._sizes is not None:
            return [self._sizes[position] for position in kept]
        files = [self.folder / self._names[position] for position in kept]
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(image_size, files))

    def without(self, left_out: Sequence[int], faults: Sequence[str]) -> "FileSplit":
        """The split without the images at these indices, and with these faults beside its own."""
        faults = [*self.faults, *faults]
        rest = FileSplit(
            self.folder, self._names, self._read, ids=self._ids, faults=faults, notes=self.notes, sizes=self._sizes
        )
        rest._kept = np.delete(self._kept, list(left_out))
        return rest

    def without_absent(self) -> "FileSplit":
        """Without the images whose file is not there or leads out of the folder."""
        inside = [is_inside(name) for name in self._names]
        missing = absent(self.folder, (name for name, is_in in zip(self._names, inside, strict=True) if is_in))
        faults = {}
        for index, position in enumerate(self._kept.tolist()):
            name = self._names[position]
            if not inside[position]:
                faults[index] = f"{name!r} leads out of {self.folder}; names of images are relative, without '..'."
            elif name in missing:
                faults[index] = f"{name}: there is no such file in {self.folder}."
        return self.without(list(faults), list(faults.values())) if faults else self

    def without_unreadable(self) -> "FileSplit":
        """Without the images that cannot be decoded or whose target cannot be read: every one is read once."""
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(self._fault, range(len(self))))
        left_out = [index for index, fault in enumerate(found) if fault]
        return self.without(left_out, [found[index] for index in left_out]) if left_out else self

    def _fault(self, index: int) -> str:
        try:
            self[index]
        except StorageError as error:
            return str(error)
        return ""
