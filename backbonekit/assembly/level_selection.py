"""Which of a backbone's maps a model uses: those that the recipe names, or those that the parts require."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backbonekit.contract.features import FeaturePyramid, Level, deepest_in_octave
from backbonekit.contract.indices import indices_at_strides, indices_of_features, normalise_indices
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.roles import Blueprint
from backbonekit.errors import ContractError
from backbonekit.recipe.recipe import BackboneRecipe


@dataclass(frozen=True, slots=True)
class Demand:
    """What one task requires of the backbone. `requirement`: that of its first part; None for a task without parts.

    `consumer`: the first part, as messages name it. `has_head`: without one, maps that the recipe names are the output.
    `fixes`: returns overrides under which the backbone's maps are enough, for the message of a refusal.
    """

    requirement: Requirement | None
    consumer: str = ""
    has_head: bool = True
    fixes: Callable[[], Sequence[str]] = tuple


@dataclass(frozen=True, slots=True)
class TaskLevels:
    """`positions`: those of the selected levels that enter a task's first part, or the pyramid to insert before it."""

    positions: tuple[int, ...]
    needs_pyramid: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """`out_indices`: positions in the architecture, in network order. `features`: the levels at these. `tasks`: which
    of them each task uses."""

    out_indices: tuple[int, ...]
    features: FeaturePyramid
    tasks: dict[str, TaskLevels]


def select_levels(
    blueprint: Blueprint, backbone: BackboneRecipe, demands: Mapping[str, Demand], adapt: str
) -> Selection:
    """Indices for the backbone and the levels for each task, by its name. Raises ContractError."""
    named = _named_indices(blueprint, backbone)
    if named is None:
        available = tuple(index for index in range(len(blueprint.levels)) if index not in blueprint.forbidden)
    else:
        available = named
    found = {name: _indices(blueprint, available, named, demand, adapt) for name, demand in demands.items()}
    chosen = named or tuple(sorted({index for indices, _ in found.values() for index in indices}))
    return Selection(
        out_indices=chosen,
        features=FeaturePyramid(tuple(blueprint.levels[index] for index in chosen)),
        tasks={
            name: TaskLevels(tuple(chosen.index(index) for index in indices), needs_pyramid)
            for name, (indices, needs_pyramid) in found.items()
        },
    )


def available_levels(blueprint: Blueprint, backbone: BackboneRecipe) -> FeaturePyramid:
    """The maps that a recipe leaves to choose from: those that it names, or all. Raises ContractError."""
    named = _named_indices(blueprint, backbone)
    if named is None:
        return _everything(blueprint)
    return FeaturePyramid(tuple(blueprint.levels[index] for index in named))


def _indices(
    blueprint: Blueprint, available: tuple[int, ...], named: tuple[int, ...] | None, demand: Demand, adapt: str
) -> tuple[tuple[int, ...], bool]:
    """The maps that enter a task, and whether a pyramid has to be made of them."""
    levels = tuple(blueprint.levels[index] for index in available)
    requirement, needs_pyramid = demand.requirement, False
    missing = requirement.missing_strides(FeaturePyramid(levels)) if requirement else ()
    if requirement is None and named is None:
        return tuple(blueprint.default_indices), False
    if missing and named is not None and not demand.has_head and not _is_plain(blueprint):
        requirement, missing = Requirement(), ()
    if requirement and missing:
        _refuse_unless_plain(blueprint, named, levels, requirement, missing, demand, adapt)
        requirement, needs_pyramid = Requirement(last=1), True
    positions = _positions(blueprint, levels, requirement, named, demand.consumer)
    return tuple(available[position] for position in positions), needs_pyramid


def _named_indices(blueprint: Blueprint, backbone: BackboneRecipe) -> tuple[int, ...] | None:
    names = [level.name for level in blueprint.levels]
    if backbone.out_indices is not None:
        indices = normalise_indices(list(backbone.out_indices), names)
    elif backbone.out_features is not None:
        indices = indices_of_features(list(backbone.out_features), names)
    elif backbone.out_strides is not None:
        indices = indices_at_strides(list(backbone.out_strides), blueprint.levels)
    else:
        return None
    forbidden = [index for index in indices if index in blueprint.forbidden]
    if forbidden:
        raise ContractError(
            f"out_indices {list(indices)}: {blueprint.name} has no map at {forbidden[0]} ({names[forbidden[0]]}); "
            f"leave it out."
        )
    return indices


def _positions(
    blueprint: Blueprint,
    levels: tuple[Level, ...],
    requirement: Requirement | None,
    named: tuple[int, ...] | None,
    consumer: str,
) -> tuple[int, ...]:
    """Positions in `levels` that satisfy a requirement whose strides are all there; all of them where it is empty."""
    if requirement is None:
        return tuple(range(len(levels)))
    found = [deepest_in_octave(levels, stride) for stride in requirement.strides]
    by_stride = {position for position in found if position is not None}
    count = max(requirement.last, requirement.spread)
    if count > len(levels):
        given = f" with out_indices {list(named)}" if named is not None else " at most"
        everything = len(_everything(blueprint).levels)
        fix = "backbone.out_indices=auto"
        if count > everything:
            fix = f"another backbone, or options of {consumer} that require at most {everything}"
        raise ContractError(
            f"{consumer} requires {count} maps; backbone {blueprint.name} has {len(levels)} "
            f"({_strides(levels)}){given}. The fix: {fix}."
        )
    by_depth = set(range(len(levels) - requirement.last, len(levels)))
    by_depth |= set(_spread(levels, requirement.spread))
    if not by_stride and not by_depth:
        return tuple(range(len(levels)))
    return tuple(sorted(by_stride | by_depth))


def _spread(levels: tuple[Level, ...], count: int) -> tuple[int, ...]:
    """Positions of `count` levels, the last among them: evenly spaced where all have one stride, else the deepest."""
    if not FeaturePyramid(levels).is_single_stride:
        return tuple(range(len(levels) - count, len(levels)))
    # What enters the first block is a level too, but no step in depth.
    blocks = sum(level.name != "stem" for level in levels)
    return tuple(len(levels) - 1 - blocks * before // count for before in reversed(range(count)))


def _refuse_unless_plain(
    blueprint: Blueprint,
    named: tuple[int, ...] | None,
    levels: tuple[Level, ...],
    requirement: Requirement,
    missing: tuple[int, ...],
    demand: Demand,
    adapt: str,
) -> None:
    everything = _everything(blueprint)
    plain = _is_plain(blueprint)
    if plain and adapt == "auto":
        return
    required = ", ".join(map(str, requirement.strides))
    lacking = ", ".join(map(str, missing))
    problem = (
        f"{demand.consumer} requires levels at strides {required}; backbone {blueprint.name} has {_strides(levels)}"
    )
    if plain:
        raise ContractError(
            f"{problem}, so {lacking} is missing. The fix: adapt=auto, or put simple_feature_pyramid first in neck."
        )
    if named is not None and not requirement.missing_strides(everything):
        raise ContractError(
            f"{problem} with out_indices {list(named)}, so {lacking} is missing. The fix: backbone.out_indices=auto, "
            f"or backbone.out_strides=[{required}]."
        )
    fixes = [*demand.fixes(), "another backbone"]
    raise ContractError(f"{problem} at most, so {lacking} is missing. The fix: {', or '.join(fixes)}.")


def _everything(blueprint: Blueprint) -> FeaturePyramid:
    """All maps that the architecture can return."""
    return FeaturePyramid(
        tuple(level for index, level in enumerate(blueprint.levels) if index not in blueprint.forbidden)
    )


def _is_plain(blueprint: Blueprint) -> bool:
    return _everything(blueprint).is_single_stride


def _strides(levels: tuple[Level, ...]) -> str:
    strides = [f"{level.stride:g}" for level in levels]
    if len(strides) > 4 and len(set(strides)) == 1:
        return f"stride {strides[0]} only ({len(strides)} maps)"
    return f"stride{'s' if len(strides) > 1 else ''} {', '.join(strides)}"
