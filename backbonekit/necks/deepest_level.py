"""Helpers of necks that change only the deepest level; the other levels pass through."""

from dataclasses import replace

from torch import Tensor

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError


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
