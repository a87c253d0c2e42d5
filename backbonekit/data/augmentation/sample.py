"""An image with its target while it is augmented, and what a step is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.labels import Labels
from backbonekit.contract.targets import IGNORE_LABEL, PER_OBJECT_KEYS
from backbonekit.image_processing.pixels import to_pixels
from backbonekit.image_processing.reading import upright

_PLAIN_MODES = ("L", "RGB", "RGBA", "F", "I;16", "I")  # whose arrays are their pixels


@dataclass(frozen=True, slots=True)
class Sample:
    """`image`: [channels, height, width], uint8, float32, or int32 of other whole numbers. `target`: tensors of
    docs/targets.md, in pixels of the image; those of one task alone are "TASK.KEY". `labels`: the classes, or the names
    of keypoints, which tell left and right ones apart; None: unknown. `ignore_label`: of pixels of the segmentation
    that a step adds; `task_ignore_labels`: of that of one task alone, where it is another one."""

    image: Tensor
    target: Mapping[str, Any]
    labels: Labels | None = None
    ignore_label: int = IGNORE_LABEL
    task_ignore_labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.image.shape[-2], self.image.shape[-1]

    def by_task(self) -> dict[str, "Sample"]:
        """The same image with the keys of all tasks under '', and with those of each task alone, without its name."""
        targets: dict[str, dict[str, Any]] = {"": {}}
        for key, value in self.target.items():
            task, _, own = key.rpartition(".")
            targets.setdefault(task, {})[own] = value
        labels = {"": self.ignore_label, **self.task_ignore_labels}
        return {
            task: replace(self, target=target, ignore_label=labels.get(task, self.ignore_label))
            for task, target in targets.items()
        }

    def with_target(self, **changed: Any) -> "Sample":
        return replace(self, target={**self.target, **changed})

    def select(self, kept: Tensor) -> "Sample":
        """With those objects alone for which `kept`, bool [N], is True."""
        if bool(kept.all()):
            return self
        return self.with_target(**{key: self.target[key][kept] for key in PER_OBJECT_KEYS if key in self.target})


class Step(Protocol):
    """One augmentation. Its options are keyword-only. Random numbers come from torch's generator, which is seeded for
    each sample. `sets_size`: True where the image leaves it in the size that the model is to see, so that the processor
    does not resize it; False where it has any other size; None where the size stays."""

    @property
    def sets_size(self) -> bool | None: ...

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        """`other`: returns another sample of the split, drawn at random, as it is without augmentation."""
        ...


def happens(probability: float) -> bool:
    """Drawn anew at each call."""
    return float(torch.rand(())) < probability


def uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def drawn_index(count: int) -> int:
    """A whole number from 0 to count - 1."""
    return int(torch.randint(count, ()))


def pixels_of(image: Image.Image | np.ndarray | Tensor) -> Tensor:
    """[channels, height, width] of an image as its file has it; 16 bits as int32, since torch computes little with
    uint16."""
    if isinstance(image, Tensor):
        return image if image.ndim == 3 else image[None]
    if isinstance(image, Image.Image):
        image = upright(image)
        array = np.asarray(image) if image.mode in _PLAIN_MODES else to_pixels(image, 3)
    else:
        array = image
    array = array[..., None] if array.ndim == 2 else array
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.int32)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    else:
        array = np.array(array)  # a copy: Pillow's arrays are read-only
    # Channels last in memory, as images are decoded and drawn: moving them would take as long as decoding a JPEG.
    return torch.from_numpy(array).permute(2, 0, 1)


def image_of(pixels: Tensor, like: Image.Image | np.ndarray | Tensor) -> Image.Image | np.ndarray | Tensor:
    """[channels, height, width] as the kind of image that `like` is: a Pillow image of colours, an array of bands in
    its own type, or a tensor."""
    if isinstance(like, Tensor):
        return pixels
    array = np.ascontiguousarray(np.moveaxis(pixels.numpy(), 0, -1))
    if isinstance(like, Image.Image) and array.dtype == np.uint8:
        return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    given = np.asarray(like)
    if given.dtype.kind in "iu" and given.dtype != array.dtype:
        limits = np.iinfo(given.dtype)
        array = array.clip(limits.min, limits.max).astype(given.dtype)
    return array[..., 0] if given.ndim == 2 else array
