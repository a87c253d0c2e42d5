"""What `predict` returns for one image, in that image's own pixels, on the CPU."""

from dataclasses import dataclass

from torch import Tensor

from backbonekit.contract.targets import IGNORE_LABEL


class Result:
    """What was found in one image. (The field lists below are the contract; this class is the name that they share.)"""

    __slots__ = ()


@dataclass(slots=True)
class ClassResult(Result):
    """`labels`: int64 [k], best first. `scores`: float [k] in [0, 1], of a softmax over all classes, or of a sigmoid
    each where an image may have several classes or none."""

    labels: Tensor
    scores: Tensor


@dataclass(slots=True)
class SemanticResult(Result):
    """`segmentation`: int64 [height, width], the class of every pixel; `ignore_label` where it has none. Of a model
    with one class (`is_binary`) 1 where the class is and 0 elsewhere, as in its targets."""

    segmentation: Tensor
    ignore_label: int = IGNORE_LABEL
    is_binary: bool = False

    def classes(self) -> Tensor:
        """int64 [height, width], the number of each pixel's class, by which it is named; -1 where it has none."""
        numbers = self.segmentation - 1 if self.is_binary else self.segmentation
        return numbers.masked_fill(self.segmentation == self.ignore_label, -1)


@dataclass(slots=True)
class InstanceResult(Result):
    """Things, best first. `labels` int64 [N], `scores` float [N], `masks` bool [N, height, width] or None,
    `boxes_xyxy` float [N, 4] in pixels (of the masks where there are masks)."""

    labels: Tensor
    scores: Tensor
    boxes_xyxy: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One region of a panoptic result. `identifier`: its value in the segment map, from 1. `score` in [0, 1]."""

    identifier: int
    label: int
    score: float
    was_fused: bool = False


@dataclass(slots=True)
class PanopticResult(Result):
    """`segmentation`: int64 [height, width] of segment identifiers, 0 where there is none. `segments`: one each."""

    segmentation: Tensor
    segments: list[Segment]


@dataclass(slots=True)
class DepthResult(Result):
    """`depth`: float [height, width]; metres if metric. `is_distance`: large is far, else large is near."""

    depth: Tensor
    is_distance: bool = True


@dataclass(slots=True)
class KeypointResult(Result):
    """Of one person. `keypoints`: float [K, 2], x and y in pixels; NaN where none was found. `scores`: float [K], the
    heights of their peaks."""

    keypoints: Tensor
    scores: Tensor
