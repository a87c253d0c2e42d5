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
        target = self.relabelled(read_target(given, size, image=image, readers=self.readers, labels=self.labels))
        if self.num_checked is not None and "segmentation" in target:
            check_no_mask_values(target["segmentation"], self.num_checked, self.ignore_label, where=f"targets[{image}]")
        return target

    def relabelled(self, target: Target) -> Target:
        """The target with the labels that `label_map` makes of its own."""
        if not self.label_map:
            return target
        return relabelled_target(target, read_label_map(self.label_map), self.ignore_label)


def read_by_task(given: Any, size: tuple[int, int], rules: Mapping[str, TargetRules], *, image: int) -> TargetsByTask:
    """The target of an image of `size` as each task reads it. `rules`: '' of all tasks, and those of each task by name.

    Keys of a task's own ("TASK.KEY") take the place of those of all tasks. Raises ContractError as `read_target`.
    """
    shared = rules[""]
    everyone, owned = _split(given, rules)
    for task, own in owned.items():
        check_keys({own_key(task, key): value for key, value in own.items()}, image, shared.readers)
    read = {"": shared.read(everyone, size, image=image)}
    for task, own in owned.items():
        if own or rules[task].is_own:
            target = rules[task].read({**everyone, **own} if own else everyone, size, image=image)
            read[task] = _kept(target, [one for one in shared.readers if one.task == task])
    return read


def relabel_by_task(target: Mapping[str, Any], rules: Mapping[str, TargetRules]) -> TargetsByTask:
    """A target that is read already, with the labels that each task makes of them."""
    everyone, owned = _split(target, rules)
    changed = {"": rules[""].relabelled(everyone)}
    for task, own in owned.items():
        if own or rules[task].is_own:
            changed[task] = rules[task].relabelled({**everyone, **own})  # type: ignore[typeddict-item]
    return changed


def joined(by_task: Mapping[str, Target]) -> Target:
    """One target with the keys of all tasks and those of each, "TASK.KEY"."""
    return {own_key(task, key): value for task, target in by_task.items() for key, value in target.items()}  # type: ignore[return-value]


def _split(given: Any, rules: Mapping[str, TargetRules]) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The keys of all tasks, and by task those of its own, without its name."""
    owned: dict[str, dict[str, Any]] = {task: {} for task in rules if task}
    if not owned or not isinstance(given, Mapping):
        return given, owned
    everyone = {}
    for key, value in given.items():
        task, point, own = str(key).partition(".")
        if point and task in owned:
            owned[task][own] = value
        else:
            everyone[key] = value
    return everyone, owned


def _kept(target: Target, readers: Sequence[TargetReader]) -> Target:
    """The keys that are read."""
    read = {key for one in readers for keys in one.reads for key in keys}
    return {key: value for key, value in target.items() if key in read}  # type: ignore[return-value]
