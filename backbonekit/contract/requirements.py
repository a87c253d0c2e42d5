"""What a part requires of the features that it receives; wiring passes it from the heads back to the backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.errors import ContractError

PYRAMID_STRIDES = (4, 8, 16, 32)  # of the usual pyramid, one level in each octave, fine to coarse
MASK_FEATURES = "mask_features"  # the extra that a pixel decoder adds and a mask head multiplies with its queries


@dataclass(frozen=True, slots=True)
class Requirement:
    """Levels by stride, or by depth, and extras by name.

    `strides`: one level in each of these octaves, fine to coarse; a pyramid.
    `last`: this many of the deepest levels, whatever their strides (a classifier requires 1).
    `spread`: this many levels, evenly over the depth of a plain transformer (4 of 12 blocks: the 3rd, 6th, 9th and
    12th); of a hierarchical backbone the deepest.
    `extras`: names that a neck must add, such as `mask_features`.
    """

    strides: tuple[int, ...] = ()
    last: int = 0
    spread: int = 0
    extras: tuple[str, ...] = ()

    def missing_strides(self, features: FeaturePyramid) -> tuple[int, ...]:
        return tuple(stride for stride in self.strides if features.index_at(stride) is None)

    def missing_extras(self, features: FeaturePyramid) -> tuple[str, ...]:
        return tuple(name for name in self.extras if name not in features.extras)

    def union(self, other: "Requirement") -> "Requirement":
        """What satisfies both: several tasks on one backbone."""
        return Requirement(
            strides=tuple(sorted({*self.strides, *other.strides})),
            last=max(self.last, other.last),
            spread=max(self.spread, other.spread),
            extras=tuple(dict.fromkeys((*self.extras, *other.extras))),
        )


def choose_levels(
    features: FeaturePyramid, strides: Sequence[int], num_deepest_levels: int | None = None, *, part: str
) -> tuple[int, ...]:
    """Positions of one level in the octave of each stride, or of the `num_deepest_levels` deepest levels.

    `num_deepest_levels`: the option of that name; None for a part that has none.
    `part`: its kind and name, as in "head deformable_detr". Raises ContractError where a level is missing.
    """
    given = ", ".join(f"{stride:g}" for stride in features.strides) or "none"
    count = len(features.levels)
    if num_deepest_levels:
        if count < num_deepest_levels:
            raise ContractError(
                f"{part}: num_deepest_levels={num_deepest_levels}, and it receives {count} levels (strides {given}). "
                f"The fix: num_deepest_levels={count}, or more of backbone.out_indices."
            )
        return tuple(range(count - num_deepest_levels, count))
    found = {stride: features.index_at(stride) for stride in strides}
    missing = [stride for stride, position in found.items() if position is None]
    if missing:
        raise ContractError(
            f"{part} requires levels at strides {', '.join(map(str, strides))}; it receives strides {given}, so "
            f"{', '.join(map(str, missing))} is missing. The fix: backbone.out_indices=auto, or "
            + (
                "a neck that returns them."
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
        raise ContractError(f"{part} requires levels of one width and receives {given} channels. The fix: {fix}.")
    return widths.pop()
