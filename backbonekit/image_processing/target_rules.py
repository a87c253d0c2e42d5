"""How the targets of a task are read: labels of the files become classes, and a label is that of ignored pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbonekit.contract.label_map import read_label_map
from backbonekit.contract.labels import Labels
from backbonekit.contract.target_checks import check_keys
from backbonekit.contract.targets import Target, TargetReader, own_key
from backbonekit.image_processing.relabel import relabelled_target
from backbonekit.image_processing.target_formats import read_target
from backbonekit.ops.targets import check_no_mask_values

TargetsByTask = dict[str, Target]
"""The target of one image: '' the keys of all tasks, and by name those that a task has of its own."""


@dataclass(frozen=True, slots=True)
class TargetRules:
    """`ignore_label`: of pixels of a segmentation that belong to no class. `label_map`: as in `Processing`. `readers`:
    what learns from the target. `labels`: whose category ids COCO's annotations have. `num_checked`: the number of
    classes of segmentations that must not hold 0 and the ignored label alone; None: they may. `is_own`: whether a task
    differs in any of these from the others, so that it needs keys of its own.
    """

    ignore_label: int
    label_map: Mapping[str, Any] | None = None
    readers: tuple[TargetReader, ...] = ()
    labels: Labels | None = None
    num_checked: int | None = None
    is_own: bool = False

    def read(self, given: Any, size: tuple[int, int], *, image: int) -> Target:
        """The target of an image of `size` (height, width): checked, with the labels that `label_map` makes of the
        files' own."""
        target = read_target(given, size, image=image, readers=self.readers, labels=self.labels)
        if self.label_map:
            target = relabelled_target(target, read_label_map(self.label_map), self.ignore_label)
        if self.num_checked is not None and "segmentation" in target:
            check_no_mask_values(target["segmentation"], self.num_checked, self.ignore_label, where=f"targets[{image}]")
        return target


def read_by_task(given: Any, size: tuple[int, int], rules: Mapping[str, TargetRules], *, image: int) -> TargetsByTask:
    """The target of an image of `size` as each task reads it. `rules`: '' of all tasks, and those of each task by name.

    Keys of a task's own ("TASK.KEY") take the place of those of all tasks. Raises ContractError as `read_target`.
    """
    shared = rules[""]
    prefixes = {task: own_key(task, "") for task in rules if task}
    everyone, owned = given, {}
    if isinstance(given, Mapping):
        owned = {key: value for key, value in given.items() if str(key).startswith(tuple(prefixes.values()))}
        check_keys(owned, image, shared.readers)
        everyone = {key: value for key, value in given.items() if key not in owned} if owned else given
    read = {"": shared.read(everyone, size, image=image)}
    for task, prefix in prefixes.items():
        own = {key.removeprefix(prefix): value for key, value in owned.items() if key.startswith(prefix)}
        if own or rules[task].is_own:
            target = rules[task].read({**everyone, **own} if own else everyone, size, image=image)
            read[task] = _kept(target, [one for one in shared.readers if one.task == task])
    return read


def joined(by_task: Mapping[str, Target]) -> Target:
    """One target with the keys of all tasks and those of each, "TASK.KEY"."""
    return {own_key(task, key): value for task, target in by_task.items() for key, value in target.items()}  # type: ignore[return-value]


def _kept(target: Target, readers: Sequence[TargetReader]) -> Target:
    """The keys that are read."""
    read = {key for one in readers for keys in one.reads for key in keys}
    return {key: value for key, value in target.items() if key in read}  # type: ignore[return-value]
