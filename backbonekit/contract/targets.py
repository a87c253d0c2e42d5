"""What a model is trained on, in torchvision's convention: a list with one dict an image.

`TARGET_KEYS` is the one list of the keys; docs/targets.md shows it beside what each head reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypedDict

from torch import Tensor

IGNORE_LABEL = 255  # a pixel of `segmentation` with this label counts in no loss and no metric


# "class" is a keyword of the language, so the functional form.
Target = TypedDict(
    "Target",
    {
        "labels": Tensor,  # int64 [N], 0..classes-1; N = 0 is legal
        "boxes": Tensor,  # float [N, 4], x0 y0 x1 y1 in the input's pixels
        "masks": Tensor,  # bool or uint8 [N, h, w] on the input's canvas
        "segmentation": Tensor,  # int64 [h, w]; processing.ignore_label, usually 255, where a pixel has no class
        "depth": Tensor,  # float [h, w]; NaN or <= 0 invalid
        "keypoints": Tensor,  # float [N, K, 3]: x, y, visibility
        "class": Tensor,  # int64 []; with multi_label float [C] of 0 and 1
    },
    total=False,
)
Target.__doc__ = """The ground truth of one image. Every key is optional; each task reads its own."""

Targets = list[Target]


@dataclass(frozen=True, slots=True)
class TargetKey:
    """What a key of a target holds.

    `type`, `shape`: of its tensor. `unit`, `values`: of what it holds, in words. `brief`: its format where two are in
    use, for messages; '' where there is only one.
    """

    type: str
    shape: str
    unit: str
    values: str
    brief: str = ""


TARGET_KEYS: Mapping[str, TargetKey] = MappingProxyType(
    {
        "labels": TargetKey("int64", "[N]", "class of each object", "0 to num_classes - 1; N = 0 is legal"),
        "boxes": TargetKey(
            "float32",
            "[N, 4]",
            "pixels of the image",
            "x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, within 0 to width and 0 to height",
            "x0, y0, x1, y1 in pixels",
        ),
        "masks": TargetKey("bool", "[N, height, width]", "inside or outside", "True inside the object"),
        "segmentation": TargetKey(
            "int64",
            "[height, width]",
            "class of each pixel",
            "0 to num_classes - 1; processing.ignore_label (255) is no class",
        ),
        "depth": TargetKey(
            "float32", "[height, width]", "metres, or any unit of distance", "above 0; 0, below and NaN: unknown"
        ),
        "keypoints": TargetKey(
            "float32",
            "[N, K, 3]",
            "x and y in pixels of the image",
            "x, y within the image, and visibility: 0 not annotated, 1 hidden, 2 visible",
            "x, y in pixels and visibility",
        ),
        "class": TargetKey(
            "int64",
            "[]",
            "class of the image",
            "0 to num_classes - 1; with multi_label floats [classes], 1 for each that it has and 0 for others",
        ),
    }
)

PER_OBJECT_KEYS = ("labels", "boxes", "masks", "keypoints")
"""The keys with one entry for each object."""

RECORD_KEYS = ("image_id", "area", "iscrowd", "orig_size", "size")
"""What torchvision's and transformers' targets hold beside what is learned; nothing reads it."""

Reads = tuple[tuple[str, ...], ...]
"""The keys that a criterion, or a head with losses of its own, learns from: alternatives, each with all its keys."""


@dataclass(frozen=True, slots=True)
class TargetReader:
    """What reads the targets: `name` of the head as registered, and `reads`, the keys of its losses. `task`: its name
    in a model of several, whose own keys are "TASK.KEY"; '' in a model of one."""

    name: str
    reads: Reads
    task: str = ""

    def key_in(self, target: Mapping[str, object], key: str) -> str:
        """What `key` is called in a target: the task's own where it is there, else that of all tasks."""
        own = own_key(self.task, key)
        return own if own in target else key


def own_key(task: str, key: str) -> str:
    """The key of a target that one of several tasks reads in place of `key`."""
    return f"{task}.{key}" if task else key


def targets_of(targets: Targets, task: str) -> Targets:
    """The targets as a task reads them: its own keys in place of those of all tasks."""
    prefix = own_key(task, "")
    if not task or not any(key.startswith(prefix) for target in targets for key in target):
        return targets
    return [
        {**target, **{key.removeprefix(prefix): value for key, value in target.items() if key.startswith(prefix)}}
        for target in targets
    ]  # type: ignore[return-value]
