"""Which of the levels that enter a head it reads."""

from collections.abc import Sequence

from backbonekit.contract.features import FeaturePyramid
from backbonekit.errors import ContractError


def positions_at(features: FeaturePyramid, strides: Sequence[float], *, head: str) -> tuple[int, ...]:
    """One position for each stride, the deepest of its octave. Raises ContractError where one is missing."""
    found = {stride: features.index_at(stride) for stride in strides}
    missing = [f"{stride:g}" for stride, position in found.items() if position is None]
    if missing:
        raise ContractError(
            f"head {head} wants levels at strides {', '.join(f'{stride:g}' for stride in strides)}; it receives "
            f"strides {shown_strides(features)}, so {', '.join(missing)} is missing. The fix: "
            f"backbone.out_indices=auto, or a neck that gives them."
        )
    return tuple(position for position in found.values() if position is not None)


def deepest_positions(features: FeaturePyramid, count: int, *, head: str, option: str) -> tuple[int, ...]:
    """The `count` deepest levels, fine to coarse. `option`: what the recipe calls `count`. Raises ContractError."""
    levels = len(features.levels)
    if count > levels:
        raise ContractError(
            f"head {head}: {option}={count}, and it receives {levels} level{'' if levels == 1 else 's'} (strides "
            f"{shown_strides(features)}). The fix: {option}={levels}, or more levels before it."
        )
    return tuple(range(levels - count, levels))


def shown_strides(features: FeaturePyramid) -> str:
    return ", ".join(f"{stride:g}" for stride in features.strides) or "none"
