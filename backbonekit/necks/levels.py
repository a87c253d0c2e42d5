"""Helpers of several necks: which levels they require, and which they publish.

Levels are named by octave: p2 has stride 4, p3 stride 8.
"""

from dataclasses import replace
from typing import Annotated

from torch import Tensor

from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.options import Range
from backbonekit.contract.requirements import PYRAMID_STRIDES, Requirement
from backbonekit.errors import ContractError

ExtraLevels = Annotated[int, Range(0, 8)]  # eight more on top of stride 32 is one position for 8,192 pixels


def required_below(wanted: Requirement | None, num_extra_levels: int) -> Requirement:
    """Requirement of a neck that turns each level into one level and adds `num_extra_levels` coarser ones.

    The neck makes the coarsest `num_extra_levels` of the wanted levels itself and requires the others, at least one.
    """
    if wanted is None:
        return Requirement(strides=PYRAMID_STRIDES)
    strides = wanted.strides[: max(1, len(wanted.strides) - num_extra_levels)]
    last = max(wanted.last - num_extra_levels, 0)
    if not strides:
        last = max(last, 1)
    return Requirement(strides=strides, last=last, extras=wanted.extras)


def octave_levels(features: FeaturePyramid, channels: int, num_extra_levels: int, *, neck: str) -> FeaturePyramid:
    """Levels that such a neck publishes: all of one width, each extra one of twice the stride; extras pass through.

    Raises ContractError where there is no level, or two of one octave, which no top-down path can connect.
    """
    octaves = [octave(level.stride) for level in features.levels]
    strides = ", ".join(f"{level.stride:g}" for level in features.levels)
    if not octaves:
        raise ContractError(f"neck {neck} receives no level; it requires one or more, fine to coarse.")
    if octaves != sorted(set(octaves)):
        raise ContractError(
            f"neck {neck} requires one level in each octave (strides such as 4, 8, 16, 32), fine to coarse; it "
            f"receives strides {strides}. The fix: out_strides with each stride once, or simple_feature_pyramid before "
            f"it for a backbone of a single stride."
        )
    levels = [Level(f"p{octave(level.stride)}", channels, level.stride) for level in features.levels]
    for _ in range(num_extra_levels):
        stride = levels[-1].stride * 2
        levels.append(Level(f"p{octave(stride)}", channels, stride))
    return replace(features, levels=tuple(levels))


def deepest_level(features: FeaturePyramid, *, neck: str) -> Level:
    """The deepest level. Raises ContractError where there is no level."""
    if not features.levels:
        raise ContractError(f"neck {neck} receives no level; it requires the deepest one.")
    return features.levels[-1]


def with_deepest(features: FeaturePyramid, channels: int) -> FeaturePyramid:
    """The same levels; the deepest has this width and no prefix tokens, which belonged to the replaced map."""
    changed = replace(features.levels[-1], channels=channels, prefix_tokens=0)
    return replace(features, levels=(*features.levels[:-1], changed))


def maps_with_deepest(maps: FeatureMaps, deepest: Tensor) -> FeatureMaps:
    """The same maps with the deepest one replaced and without its prefix tokens."""
    tokens = (*maps.prefix_tokens[:-1], None) if maps.prefix_tokens else ()
    return FeatureMaps((*maps.maps[:-1], deepest), maps.extras, tokens)


def required_with_deepest(wanted: Requirement | None) -> Requirement:
    """The wanted levels, at least the deepest one."""
    if wanted is None:
        return Requirement(last=1)
    if wanted.strides or wanted.last or wanted.spread:
        return wanted
    return replace(wanted, last=1)
