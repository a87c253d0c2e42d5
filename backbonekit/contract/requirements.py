"""What a part wants to receive. Wiring passes it from the heads back to the backbone. No torch here."""

from dataclasses import dataclass

from backbonekit.contract.features import FeaturePyramid


@dataclass(frozen=True, slots=True)
class Requirement:
    """Levels by stride, or by depth, and extras by name.

    `strides`: one level in each of these octaves, fine to coarse; a pyramid.
    `last`: this many of the deepest levels, whatever their strides (a classifier wants 1).
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
