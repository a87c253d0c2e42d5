"""What a feature map is, published before any tensor exists. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log2


def octave(stride: float) -> int:
    """The power of two nearest to a stride: 4 -> 2, 32 -> 5, and a ViT's 14 -> 4, so that it counts as 16."""
    return round(log2(stride))


@dataclass(frozen=True, slots=True)
class Level:
    """One feature map of NCHW layout.

    `stride` is nominal: a label for picking and showing levels. Sizes always come from tensors. It is a whole number
    for almost every level; a pyramid over 14-pixel patches has a level of stride 3.5.
    `prefix_tokens`: how many class and register tokens a transformer returns beside the map. `has_class_token`: whether
    the first of them is a class token; some architectures have registers alone.
    """

    name: str
    channels: int
    stride: float
    prefix_tokens: int = 0
    has_class_token: bool = True


@dataclass(frozen=True, slots=True)
class FeaturePyramid:
    """The levels that a part publishes, fine to coarse, and named extras beside them (`mask_features`, `memory`)."""

    levels: tuple[Level, ...]
    # A dict and no read-only view of one, which cannot be copied or pickled, and every neck holds its pyramid.
    extras: Mapping[str, Level] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(level.channels for level in self.levels)

    @property
    def strides(self) -> tuple[float, ...]:
        return tuple(level.stride for level in self.levels)

    @property
    def is_single_stride(self) -> bool:
        """True for a plain ViT: every level has the same stride, so no pyramid can be cut from it."""
        return len({level.stride for level in self.levels}) == 1

    def index_at(self, stride: float) -> int | None:
        """The deepest level in the octave of `stride`, or None. With strides (4, 8, 16, 32), 8 -> 1."""
        return deepest_in_octave(self.levels, stride)


def deepest_in_octave(levels: tuple[Level, ...], stride: float) -> int | None:
    """Position of the last level whose stride is nearest to the power of two of `stride`, or None."""
    positions = [index for index, level in enumerate(levels) if octave(level.stride) == octave(stride)]
    return positions[-1] if positions else None
