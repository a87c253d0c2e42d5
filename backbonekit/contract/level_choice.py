"""Which of the levels that a part receives it takes, and what it asks of their width. No torch here."""

from collections.abc import Sequence

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.errors import ContractError


def choose_levels(
    features: FeaturePyramid, strides: Sequence[int], num_deepest_levels: int | None = None, *, part: str
) -> tuple[int, ...]:
    """Positions of one level in the octave of each stride; with `num_deepest_levels`, of that many of the deepest
    levels.

    `num_deepest_levels`: the option of that name; None for a part that has none.
    `part`: its kind and name, as in "head deformable_detr". Raises ContractError where a level is missing.
    """
    given = ", ".join(f"{stride:g}" for stride in features.strides) or "none"
    count = len(features.levels)
    if num_deepest_levels:
        if count < num_deepest_levels:
            raise ContractError(
                f"{part}: num_deepest_levels={num_deepest_levels}, and it receives {count} levels (strides "
                f"{given}). The fix: "
                f"num_deepest_levels={count}, or more of backbone.out_indices."
            )
        return tuple(range(count - num_deepest_levels, count))
    found = {stride: features.index_at(stride) for stride in strides}
    missing = [stride for stride, position in found.items() if position is None]
    if missing:
        raise ContractError(
            f"{part} wants levels at strides {', '.join(map(str, strides))}; it receives strides {given}, so "
            f"{', '.join(map(str, missing))} is missing. The fix: backbone.out_indices=auto, or "
            + (
                "a neck that gives them."
                if num_deepest_levels is None
                else f"num_deepest_levels={count} to take the levels as they are."
            )
        )
    return tuple(position for position in found.values() if position is not None)


def one_width(levels: Sequence[Level], *, part: str, fix: str) -> int:
    """The channels that all levels have. Raises ContractError where they differ or there is none."""
    widths = {level.channels for level in levels}
    if len(widths) != 1:
        given = ", ".join(str(level.channels) for level in levels) or "no"
        raise ContractError(f"{part} wants levels of one width and receives {given} channels. The fix: {fix}.")
    return widths.pop()
