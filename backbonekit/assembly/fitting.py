"""How parts are made to fit levels that are not enough for them as they stand, and the changes that would do it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from backbonekit.assembly.plan import TaskPlan
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.signatures import option_names, pick
from backbonekit.recipe.recipe import PartRecipe, Recipe, TaskRecipe
from backbonekit.registry.lookup import resolve
from backbonekit.registry.table import options

EXTRA_LEVELS = "num_extra_levels"  # the option of a neck that makes coarser levels than it receives
DEEPEST_LEVELS = "num_deepest_levels"  # the option of a part that takes levels by depth in place of strides
STRIDES = "strides"  # the option of a neck that makes levels of any strides from one map
PYRAMID = "simple_feature_pyramid"  # inserted where a part requires several strides of a single-stride backbone
_USUAL_NECK = "fpn"
_MOST_EXTRA_LEVELS = 8


def grow_neck(plan: TaskPlan, available: FeaturePyramid, producer: str) -> str | None:
    """Raises `num_extra_levels` of a neck where a part requires coarser levels than there are before it, and returns
    the note on it; None where nothing had to grow, or no growing helps. `producer`: what returns them, for the note.
    """
    wanted = plan.demand().requirement
    if available.is_single_stride or not _lacks_coarse_levels(wanted, available):
        return None
    for neck in plan.necks:
        if EXTRA_LEVELS not in option_names(neck.part.needs):  # type: ignore[attr-defined]
            continue
        before = neck.options.get(EXTRA_LEVELS, 0)
        for count in range(before + 1, _MOST_EXTRA_LEVELS + 1):
            neck.options[EXTRA_LEVELS] = count
            requirement = plan.demand().requirement
            if requirement is not None and not requirement.missing_strides(available):
                behind = plan.parts[plan.necks.index(neck) + 1 :]
                consumer = behind[0].shown if behind else "one of the heads"
                return (
                    f"{plan.path}{neck.shown}: {EXTRA_LEVELS}={count}, since {consumer} requires coarser levels than "
                    f"{producer} has (adapt: never refuses this instead)"
                )
        neck.options[EXTRA_LEVELS] = before
    return None


def single_level_notes(plan: TaskPlan, available: FeaturePyramid) -> list[str]:
    """A note for a neck that connects levels and receives one alone, though the backbone has more."""
    if available.is_single_stride or len(available.levels) == 1:
        return []
    return [
        f"{plan.path}{neck.shown} receives the level of stride {neck.receives.levels[0].stride:g} alone, since "
        f"{behind.shown} reads the deepest level only; a head such as semantic_fpn or upernet reads all of them"
        for neck, behind in zip(plan.necks, plan.parts[1:], strict=False)
        if EXTRA_LEVELS in option_names(neck.part.needs) and len(neck.receives.levels) == 1  # type: ignore[attr-defined]
    ]


def changes_that_may_fit(recipe: Recipe, plan: TaskPlan, available: FeaturePyramid) -> Iterator[tuple[str, Recipe]]:
    """What changes the levels that a task, or the necks that all tasks share, require: overrides of the head before
    those of the necks, then parts to insert; each with the recipe that it makes."""
    shared = bool(recipe.heads) and not plan.name
    parts = TaskRecipe(None, recipe.neck) if shared else recipe.tasks[plan.name]

    def changed(**changes: object) -> Recipe:
        return _with_task(recipe, plan.name, replace(parts, **changes))  # type: ignore[arg-type]

    if parts.head is not None:
        for option, value in _choices("head", parts.head, available):
            head = replace(parts.head, options={**parts.head.options, option: value})
            yield f"{plan.path}head.{option}={value}", changed(head=head)
    for position, neck in enumerate(parts.neck):
        index = f".{position}" if len(parts.neck) > 1 else ""
        strides = _required_behind(parts, plan.wanted, position).strides
        made = [(STRIDES, strides)] if STRIDES in option_names(resolve("neck", neck.name).__init__) else []
        for option, value in (*made, *_choices("neck", neck, available)):
            other = replace(neck, options={**neck.options, option: value})
            necks = (*parts.neck[:position], other, *parts.neck[position + 1 :])
            yield f"{plan.path}neck{index}.{option}={_written(value)}", changed(neck=necks)
    usual = _with_defaults(_USUAL_NECK)
    if not parts.neck:
        yield f"{plan.path}neck={_USUAL_NECK}", changed(neck=(usual,))
    elif parts.neck[0].name != PYRAMID:
        yield f"{_USUAL_NECK} first in {plan.path}neck", changed(neck=(usual, *parts.neck))
    if parts.neck:
        yield f"{_USUAL_NECK} last in {plan.path}neck", changed(neck=(*parts.neck, usual))
    if not parts.neck or parts.neck[0].name != PYRAMID:
        strides = _required_behind(parts, plan.wanted, -1).strides
        making, pyramid = "", _with_defaults(PYRAMID)
        if not set(strides) <= set(pyramid.options[STRIDES]):
            making = f" with {STRIDES}={_written(strides)}"
            pyramid = replace(pyramid, options={**pyramid.options, STRIDES: strides})
        yield (
            f"{PYRAMID}{making} first in {plan.path}neck, which makes all of them from the last map",
            changed(neck=(pyramid, *parts.neck)),
        )


def _required_behind(task: TaskRecipe, wanted: Requirement | None, position: int) -> Requirement:
    """What the parts behind the neck at this position require of it; -1: of what is before all of them."""
    requirement = wanted
    parts = [("neck", neck) for neck in task.neck] + [("head", task.head)] * (task.head is not None)
    for kind, part in reversed(parts[position + 1 :]):
        assert part is not None
        needs = resolve(kind, part.name).needs
        requirement = needs(requirement, **pick(part.options, needs))
    return requirement or Requirement()


def _written(value: Any) -> str:
    """A value as an override has it, without spaces, which a shell splits at."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _with_defaults(neck: str) -> PartRecipe:
    return PartRecipe(neck, {key: entry["default"] for key, entry in _options("neck", neck).items()})


def _choices(kind: str, part: PartRecipe, available: FeaturePyramid) -> Iterator[tuple[str, Any]]:
    """Other values of those options that decide which levels a part requires."""
    table = _options(kind, part.name)
    for option in option_names(resolve(kind, part.name).needs):
        if option == EXTRA_LEVELS:
            values = list(range(part.options.get(option, 0) + 1, _MOST_EXTRA_LEVELS + 1))
        elif option == DEEPEST_LEVELS:
            values = list(range(len(available.levels), 1, -1))
        else:
            values = table.get(option, {}).get("schema", {}).get("enum", [])
        for value in values:
            if value != part.options.get(option):
                yield option, value


def _options(kind: str, name: str) -> dict:
    return dict(options(kind, name) or {})


def _lacks_coarse_levels(wanted: Requirement | None, available: FeaturePyramid) -> bool:
    missing = () if wanted is None else wanted.missing_strides(available)
    return bool(missing) and min(missing) > max(available.strides)


def _with_task(recipe: Recipe, name: str, task: TaskRecipe) -> Recipe:
    """The recipe with another task; of several, '' stands for the necks that all share."""
    if not recipe.heads:
        return replace(recipe, neck=task.neck, head=task.head)
    if not name:
        return replace(recipe, neck=task.neck)
    return replace(recipe, heads={**recipe.heads, name: task})
