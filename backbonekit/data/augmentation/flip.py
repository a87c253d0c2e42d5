"""Mirrored images."""

from collections.abc import Callable
from typing import Annotated

from backbonekit.contract.options import Probability, Range
from backbonekit.data.augmentation.geometry import flipped
from backbonekit.data.augmentation.sample import Sample, happens

_Keypoint = Annotated[int, Range(0, 10_000)]


class HorizontalFlip:
    """Left and right exchanged.

    `probability`: of the flip. `keypoint_pairs`: the numbers of keypoints that change their sides, as [[1, 2]]; null:
    by their names, `left_eye` and `right_eye`.
    """

    sets_size = None

    def __init__(
        self, *, probability: Probability = 0.5, keypoint_pairs: tuple[tuple[_Keypoint, _Keypoint], ...] | None = None
    ) -> None:
        self.probability = probability
        self.keypoint_pairs = keypoint_pairs

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        return flipped(sample, -1, self.keypoint_pairs) if happens(self.probability) else sample


class VerticalFlip:
    """Top and bottom exchanged, for images from above (satellites, microscopes).

    `probability`: of the flip.
    """

    sets_size = None

    def __init__(self, *, probability: Probability = 0.5) -> None:
        self.probability = probability

    def __call__(self, sample: Sample, other: Callable[[], Sample]) -> Sample:
        return flipped(sample, -2) if happens(self.probability) else sample
