"""What a split holds: how many objects of each class, which sizes, what is missing or broken. Every image is read."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from backbonekit.contract.datasets import Split
from backbonekit.contract.labels import Labels
from backbonekit.data.channel_values import ChannelValues
from backbonekit.data.file_split import FileSplit
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.pixels import size_of

_THREADS = 8  # Pillow decodes without Python's lock
_NARROW = 2  # pixels


@dataclass(slots=True)
class Findings:
    """`num_images`: those that could be read. `faults`: a message for each annotation or file that cannot be used.
    `notes`: of the format. `sizes`, `channels`: how many images have each. `without_target`: the names of images
    without an object, class or labelled pixel. `objects`: of each class; `images`: those that have it; `pixels`: of
    each class of a segmentation, and of ignored ones. `narrow_boxes`: boxes narrower than two pixels. `keypoints`: the
    annotated ones, by their index. `depth`: the smallest and the largest known depth. `values`: of the channels of
    images that are no 8-bit grey or colours; None where there are none."""

    num_images: int = 0
    faults: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    without_target: list[str] = field(default_factory=list)
    objects: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    narrow_boxes: int = 0
    keypoints: Counter[int] = field(default_factory=Counter)
    depth: tuple[float, float] | None = None
    values: ChannelValues | None = None

    def size_range(self) -> dict[str, list[int]] | None:
        """The smallest, the median and the largest [height, width], by the number of pixels."""
        sizes = sorted(self.sizes.elements(), key=lambda size: (size[0] * size[1], size))
        if not sizes:
            return None
        middle = [round(median(size[axis] for size in sizes)) for axis in range(2)]
        return {"smallest": list(sizes[0]), "median": middle, "largest": list(sizes[-1])}

    def absent_classes(self, labels: Labels | None) -> list[str]:
        """The names of classes that nothing in the split has."""
        return [] if labels is None else [name for index, name in enumerate(labels.names) if not self.images[index]]


def examine(split: Split, *, progress: Callable[[], object] = lambda: None) -> Findings:
    """`split`: of files as `FileData.examined` returns it, or any other. `progress`: called for each image."""
    findings = Findings()
    if isinstance(split, FileSplit):
        findings.faults += split.faults
        findings.notes = split.notes
    for index, sample in enumerate(_samples(split)):
        progress()
        if isinstance(sample, str):
            findings.faults.append(sample)
        else:
            _add(findings, split.name(index), *sample)
    return findings


def _samples(split: Split) -> Iterator[tuple[Any, dict[str, Any]] | str]:
    """The samples in their order; a message in place of one that cannot be read."""

    def read(index: int) -> tuple[Any, dict[str, Any]] | str:
        try:
            return split[index]
        except (StorageError, ContractError) as error:
            return str(error)

    if not isinstance(split, FileSplit):  # which need not be safe in threads
        yield from map(read, range(len(split)))
        return
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(split), 16 * _THREADS):  # no more images at once than memory holds
            yield from pool.map(read, range(start, min(start + 16 * _THREADS, len(split))))


def _add(findings: Findings, name: str, image: Any, target: dict[str, Any]) -> None:
    size, channels = _shape_of(image)
    _add_values(findings, image)
    findings.num_images += 1
    findings.sizes[size] += 1
    findings.channels[channels] += 1
    present: set[int] = set()
    if "labels" in target:
        labels = torch.as_tensor(target["labels"]).tolist()
        findings.objects.update(labels)
        present |= set(labels)
    if "segmentation" in target:
        numbers, counts = torch.as_tensor(target["segmentation"]).unique(return_counts=True)
        findings.pixels.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        present |= set(numbers.tolist())
    if "class" in target:
        given = torch.as_tensor(target["class"])
        present |= set(given.nonzero().flatten().tolist()) if given.ndim else {int(given)}
    findings.images.update(present)
    is_known = bool(present) or ("depth" in target and _add_depth(findings, torch.as_tensor(target["depth"])))
    if not is_known:
        findings.without_target.append(name)
    if "boxes" in target:
        boxes = torch.as_tensor(target["boxes"]).reshape(-1, 4)
        findings.narrow_boxes += int(((boxes[:, 2:] - boxes[:, :2]) < _NARROW).any(dim=1).sum())
    if "keypoints" in target:
        annotated = (torch.as_tensor(target["keypoints"])[..., 2] > 0).sum(dim=0).tolist()
        findings.keypoints.update(dict(enumerate(annotated)))


def _add_depth(findings: Findings, depth: torch.Tensor) -> bool:
    known = depth[depth.isfinite() & (depth > 0)]
    if not known.numel():
        return False
    low, high = findings.depth or (float("inf"), 0.0)
    findings.depth = min(low, float(known.min())), max(high, float(known.max()))
    return True


def _add_values(findings: Findings, image: Any) -> None:
    if isinstance(image, Image.Image | torch.Tensor):
        return
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype == np.uint8 and array.shape[2] in (1, 3):  # whose mean and deviation come with the weights
        return
    if findings.values is None:
        findings.values = ChannelValues(array.shape[2])
    findings.values.add(array)


def _shape_of(image: Any) -> tuple[tuple[int, int], int]:
    """((height, width), channels)."""
    if isinstance(image, torch.Tensor):
        return (image.shape[-2], image.shape[-1]), image.shape[0] if image.ndim == 3 else 1
    if isinstance(image, Image.Image):
        return size_of(image), len(image.getbands())
    array = np.asarray(image)
    return (array.shape[0], array.shape[1]), array.shape[2] if array.ndim == 3 else 1
