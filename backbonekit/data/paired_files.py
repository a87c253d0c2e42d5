"""Images and their maps in two folders, paired by name."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backbonekit.data.paths import image_files


@dataclass(frozen=True, slots=True)
class PairedFiles:
    """`images`, `maps`: names relative to their folders, a pair at each position. `faults`: one message for the
    position of each image without a map, whose map is ''."""

    images: list[str]
    maps: list[str]
    faults: dict[int, str]


def paired_files(images: Path, maps: Path, *, image_suffix: str, map_suffix: str) -> PairedFiles:
    """`a/b_photo.png` goes with `a/b_ids.npy` for the suffixes `_photo` and `_ids`; other images are left out."""
    names = [name for name in image_files(images) if _stem(name).endswith(image_suffix)]
    found = {_stem(name): name for name in image_files(maps)}
    stems = [_stem(name).removesuffix(image_suffix) + map_suffix for name in names]
    pairs = [found.get(stem, "") for stem in stems]
    faults = {
        index: f"{name}: there is no map {stem}.* in {maps}."
        for index, (name, stem, pair) in enumerate(zip(names, stems, pairs, strict=True))
        if not pair
    }
    return PairedFiles(names, pairs, faults)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
