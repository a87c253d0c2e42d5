"""How parts are made to fit levels that are not enough for them as they stand, and the changes that would do it."""

from collections.abc import Iterator
from dataclasses import replace

from backbonekit.assembly.plan import TaskPlan
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.signatures import option_names
from backbonekit.recipe.recipe import PartRecipe, Recipe, TaskRecipe
from backbonekit.registry.lookup import resolve
from backbonekit.registry.table import options

EXTRA_LEVELS = "num_extra_levels"  # the option of a neck that makes coarser levels than it receives
DEEPEST_LEVELS = "num_deepest_levels"  # the option of a part that takes levels by depth in place of strides
_USUAL_NECK = "fpn"
_MOST_EXTRA_LEVELS = 8


def grow_neck(plan: TaskPlan, available: FeaturePyramid, backbone: str) -> str | None:
    """Raises `num_extra_levels` of a neck where a part requires coarser levels than the backbone has, and returns the
    note on it; None where nothing had to grow, or no growing helps."""
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
                    f"{backbone} has (adapt: never refuses this instead)"
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


def changes_that_may_fit(recipe: Recipe, task: str, available: FeaturePyramid) -> Iterator[tuple[str, Recipe]]:
    """Overrides that change what a task requires, the head's before the necks', with the recipe that each makes."""
    parts = recipe.tasks[task]
    path = f"heads.{task}." if task else ""
    if parts.head is not None:
        for option, value in _choices("head", parts.head, available):
            head = replace(parts.head, options={**parts.head.options, option: value})
            yield f"{path}head.{option}={value}", _with_task(recipe, task, replace(parts, head=head))
    for position, neck in enumerate(parts.neck):
        for option, value in _choices("neck", neck, available):
            changed = replace(neck, options={**neck.options, option: value})
            necks = (*parts.neck[:position], changed, *parts.neck[position + 1 :])
            index = f".{position}" if len(parts.neck) > 1 else ""
            yield f"{path}neck{index}.{option}={value}", _with_task(recipe, task, replace(parts, neck=necks))
    if not parts.neck:
        usual = PartRecipe(_USUAL_NECK, {key: entry["default"] for key, entry in _options("neck", _USUAL_NECK).items()})
        yield f"{path}neck={_USUAL_NECK}", _with_task(recipe, task, replace(parts, neck=(usual,)))


def _choices(kind: str, part: PartRecipe, available: FeaturePyramid) -> Iterator[tuple[str, int]]:
    """Other values of those options that decide which levels a part requires."""
    table = _options(kind, part.name)
    for option in option_names(resolve(kind, part.name).needs):
        if option == EXTRA_LEVELS:
            values = list(range(part.options.get(option, 0) + 1, _MOST_EXTRA_LEVELS + 1))
        elif option == DEEPEST_LEVELS:
            values = [len(available.levels)]
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
    if not recipe.heads:
        return replace(recipe, neck=task.neck, head=task.head)
    return replace(recipe, heads={**recipe.heads, name: task})
