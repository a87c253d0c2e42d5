"""What `predict` returns for one image, in that image's own pixels, on the CPU."""

from dataclasses import dataclass

from torch import Tensor


class Result:
    """What was found in one image. (The field lists below are the contract; this class is the name that they share.)"""

    __slots__ = ()


@dataclass(slots=True)
class ClassResult(Result):
    """`labels`: int64 [k], best first. `scores`: float [k] in [0, 1], of a softmax over all classes."""

    labels: Tensor
    scores: Tensor


@dataclass(slots=True)
class SemanticResult(Result):
    """`segmentation`: int64 [height, width], the class of every pixel."""

    segmentation: Tensor


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
