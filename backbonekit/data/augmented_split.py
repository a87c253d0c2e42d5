"""A split whose samples are augmented: each by random numbers that its seed, its epoch and its index decide alone."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import torch

from backbonekit.contract.datasets import Split
from backbonekit.contract.labels import Labels
from backbonekit.contract.targets import IGNORE_LABEL, PER_OBJECT_KEYS, TARGET_KEYS, own_key
from backbonekit.data.augmentation.sample import Sample, Step, drawn_index, image_of, pixels_of
from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.target_formats import read_target
from backbonekit.weights.private_random import seeded


class AugmentedSplit:
    """The samples of `split` behind `steps`, as (image, target, index); crowds are left out of the targets.

    `labels`: of the data source: names of keypoints tell which ones change sides in a flip. `ignore_label`: of pixels
    of a segmentation that a step adds, and `task_ignore_labels` of one that is a task's own ("TASK.segmentation"), by
    the name of the task. Without steps, samples are as the split has them.

    Item i of epoch e depends on (seed, e, i) and the split alone: not on the workers, nor on what was read before, nor
    on the program's own random state, which is left as it is. `set_epoch` reaches workers that run already.
    """

    def __init__(
        self,
        split: Split,
        steps: Sequence[Step],
        *,
        seed: int,
        labels: Labels | None = None,
        ignore_label: int = IGNORE_LABEL,
        task_ignore_labels: Mapping[str, int] | None = None,
    ) -> None:
        self._split = split
        self._steps = tuple(steps)
        self._seed = seed
        self._labels = labels
        self._ignore_label = ignore_label
        self._task_ignore_labels = dict(task_ignore_labels or {})
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self._split)

    def set_epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def name(self, index: int) -> str:
        return self._split.name(index)

    def image_id(self, index: int) -> int | str:
        return self._split.image_id(index)

    def __getitem__(self, index: int) -> tuple[Any, dict[str, Any], int]:
        """Raises StorageError with the name of an image that cannot be read or augmented."""
        image, target = self._split[index]
        if not self._steps:
            return image, target, index
        try:
            with seeded(self._seed_of(index)):
                sample = self._sample(image, target)
                for step in self._steps:
                    sample = step(sample, self._other)
        except ContractError as error:
            raise StorageError(f"{self.name(index)}: {error}") from error
        return image_of(sample.image, image), dict(sample.target), index

    def _other(self) -> Sample:
        image, target = self._split[drawn_index(len(self._split))]
        return self._sample(image, target)

    def _sample(self, image: Any, target: Any) -> Sample:
        return sample_of(image, target, self._labels, self._ignore_label, self._task_ignore_labels)

    def _seed_of(self, index: int) -> int:
        """A hash, so that neighbours have nothing in common."""
        text = f"{self._seed} {int(self._epoch)} {index}".encode()
        return int.from_bytes(blake2b(text, digest_size=4).digest(), "big")


def sample_of(
    image: Any,
    target: Any,
    labels: Labels | None,
    ignore_label: int = IGNORE_LABEL,
    task_ignore_labels: Mapping[str, int] | None = None,
) -> Sample:
    """An image with its target as a split has them; crowds leave the target. Raises ContractError for a wrong one."""
    pixels = pixels_of(image)
    read: dict[str, Any] = {}
    for task, one in _by_task(target).items():
        known = read_target(one, (pixels.shape[-2], pixels.shape[-1]), image=0)
        read |= {own_key(task, key): value for key, value in known.items()}
    return Sample(pixels, read, labels, ignore_label, task_ignore_labels or {})


def _by_task(target: Any) -> dict[str, Any]:
    """The keys of all tasks under '', and those of one task alone ("TASK.KEY") under its name."""
    if not isinstance(target, Mapping):
        return {"": target}
    parts: dict[str, dict[str, Any]] = {"": {}}
    for key, value in target.items():
        task, _, own = str(key).rpartition(".")
        is_own = task and own in TARGET_KEYS
        parts.setdefault(task if is_own else "", {})[own if is_own else key] = value
    for task, part in parts.items():
        of_objects = [key for key in PER_OBJECT_KEYS if key in part]
        if task and of_objects and "labels" in parts[""] and "labels" not in part:
            raise ContractError(
                f"the target has {own_key(task, of_objects[0])} beside the labels of all tasks: where an augmentation "
                f"leaves an object out, it leaves it out of one of them. The fix: {own_key(task, 'labels')} too."
            )
    return parts
