"""Which of a backbone's maps a model uses: what the recipe names, or what the parts ask for."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from backbonekit.contract.features import FeaturePyramid, Level, deepest_in_octave
from backbonekit.contract.indices import indices_at_strides, indices_of_features, normalise_indices
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.roles import Blueprint
from backbonekit.errors import ContractError
from backbonekit.recipe.recipe import BackboneRecipe


@dataclass(slots=True)
class Selection:
    """`out_indices`: positions in the architecture, in network order. `features`: the levels at these.

    `wanted`: per task, positions within `features` that enter its first part. `bridged`: the tasks that a pyramid has
    to be inserted for. `chosen`: the indices were left to us.
    """

    out_indices: tuple[int, ...]
    features: FeaturePyramid
    wanted: dict[str, tuple[int, ...]]
    bridged: frozenset[str]
    chosen: bool

    def levels_for(self, task: str) -> tuple[int, ...]:
        return self.wanted[task]


def select_levels(
    blueprint: Blueprint,
    backbone: BackboneRecipe,
    requirements: Mapping[str, Requirement | None],
    consumers: Mapping[str, str],
    adapt: str,
    *,
    without_head: Container[str] = (),
) -> Selection:
    """Indices for the backbone and the levels for each task.

    `consumers`: per task, the part that the requirement is of, as the sentences call it. `without_head`: the tasks
    whose necks feed nothing, so that maps which the recipe names are what is wanted. Raises ContractError.
    """
    named = _named_indices(blueprint, backbone)
    if named is None:
        available = tuple(index for index in range(len(blueprint.levels)) if index not in blueprint.forbidden)
    else:
        available = named
    levels = tuple(blueprint.levels[index] for index in available)
    wanted: dict[str, tuple[int, ...]] = {}
    bridged: set[str] = set()
    for task, requirement in requirements.items():
        missing = requirement.missing_strides(FeaturePyramid(levels)) if requirement else ()
        if missing and named is not None and task in without_head and not _is_plain(blueprint):
            requirement, missing = Requirement(), ()
        if requirement and missing:
            _refuse_unless_plain(blueprint, named, levels, requirement, missing, consumers[task], adapt)
            bridged.add(task)
            requirement = Requirement(last=1)
        if requirement is None and named is None:
            wanted[task] = tuple(blueprint.default_indices)
        else:
            positions = _positions(blueprint, levels, requirement, named, consumers.get(task, ""))
            wanted[task] = tuple(available[position] for position in positions)
    chosen = named if named is not None else tuple(sorted({index for indices in wanted.values() for index in indices}))
    place = {index: position for position, index in enumerate(chosen)}
    return Selection(
        out_indices=chosen,
        features=FeaturePyramid(tuple(blueprint.levels[index] for index in chosen)),
        wanted={task: tuple(place[index] for index in indices) for task, indices in wanted.items()},
        bridged=frozenset(bridged),
        chosen=named is None,
    )


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
            f"out_indices {list(indices)}: {blueprint.name} gives no map at {forbidden[0]} ({names[forbidden[0]]}); "
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
            fix = f"another backbone, or options of {consumer} that want at most {everything}"
        raise ContractError(
            f"{consumer} wants {count} maps; backbone {blueprint.name} gives {len(levels)} "
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
    consumer: str,
    adapt: str,
) -> None:
    everything = _everything(blueprint)
    plain = _is_plain(blueprint)
    if plain and adapt == "auto":
        return
    wants = ", ".join(map(str, requirement.strides))
    lacks = ", ".join(map(str, missing))
    problem = f"{consumer} wants levels at strides {wants}; backbone {blueprint.name} gives {_strides(levels)}"
    if plain:
        raise ContractError(
            f"{problem}, so {lacks} is missing. The fix: adapt=auto, or put simple_feature_pyramid first in neck."
        )
    if named is not None and not requirement.missing_strides(everything):
        raise ContractError(
            f"{problem} with out_indices {list(named)}, so {lacks} is missing. The fix: backbone.out_indices=auto, "
            f"or backbone.out_strides=[{wants}]."
        )
    raise ContractError(
        f"{problem} at most, so {lacks} is missing. The fix: another backbone, or simple_feature_pyramid first in "
        f"neck, which makes all of them from the last map."
    )


def _everything(blueprint: Blueprint) -> FeaturePyramid:
    """All maps that the architecture can give."""
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
