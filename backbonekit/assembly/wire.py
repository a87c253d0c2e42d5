"""Wiring: requirements go back from heads to the backbone, features go forward. No weight is read or allocated."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial, reduce

import torch

from backbonekit.assembly.fitting import PYRAMID, changes_that_may_fit, grow_neck, single_level_notes
from backbonekit.assembly.level_selection import Selection, available_levels, select_levels
from backbonekit.assembly.plan import PartPlan, TaskPlan
from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.roles import Blueprint
from backbonekit.contract.signatures import defaults, option_names, pick
from backbonekit.errors import ContractError, RecipeError
from backbonekit.recipe.part_options import part_of_your_own
from backbonekit.recipe.recipe import PartRecipe, Recipe, TaskRecipe
from backbonekit.registry.lookup import check_declarations, names, resolve
from backbonekit.weights.construct import shapes_alone


@dataclass(slots=True)
class Wiring:
    """Everything that is decided before a weight is read."""

    blueprint: Blueprint
    selection: Selection
    tasks: list[TaskPlan]
    shared: TaskPlan | None = None  # the necks before all of them
    notes: list[str] = field(default_factory=list)

    @property
    def plans(self) -> list[TaskPlan]:
        """The shared necks, if any, and the tasks."""
        return self.tasks if self.shared is None else [self.shared, *self.tasks]


def wire(recipe: Recipe) -> Wiring:
    """Checks that the parts of a recipe fit and decides which maps the backbone returns.

    Raises RecipeError or ContractError; the message names producer, consumer, what is missing and the fix.
    """
    backbone = recipe.backbone
    blueprint: Blueprint = resolve("backbone", backbone.source)(
        backbone.name,
        config=backbone.config,
        revision=backbone.revision,
        in_channels=backbone.in_channels,
        args=backbone.args,
    )
    return _wired(recipe, blueprint)


def _wired(recipe: Recipe, blueprint: Blueprint, *, offers_fixes: bool = True) -> Wiring:
    plans = [_plan(name, task) for name, task in recipe.tasks.items()]
    shared = _shared_plan(recipe, plans)
    first = plans if shared is None else [shared]  # what reads the backbone
    available = available_levels(blueprint, recipe.backbone)
    notes = list(blueprint.notes)
    if recipe.adapt == "auto":
        notes += [note for plan in first if (note := grow_neck(plan, available, blueprint.name)) is not None]

    def fixes(plan: TaskPlan) -> list[str]:
        return _working_fixes(recipe, plan, blueprint, available) if offers_fixes else []

    forward = partial(_forward, may_adapt=recipe.adapt == "auto", fixes=fixes)
    demands = {plan.name: replace(plan.demand(), fixes=partial(fixes, plan)) for plan in first}
    selection = select_levels(blueprint, recipe.backbone, demands, recipe.adapt)
    for plan in first:
        chosen, requirement = selection.tasks[plan.name], demands[plan.name].requirement
        if chosen.needs_pyramid:
            assert requirement is not None
            notes.append(_pyramid_note(blueprint, plan.parts[0], requirement))
            plan.necks.insert(0, _pyramid_plan(blueprint, requirement))
        plan.levels = chosen.positions
        entering = FeaturePyramid(tuple(selection.features.levels[position] for position in plan.levels))
        notes += forward(plan, entering, producer=f"backbone {blueprint.name}")
        notes += single_level_notes(plan, available)
    if shared is not None:
        published = shared.necks[-1].publishes
        assert published is not None
        for plan in plans:
            plan.levels = tuple(range(len(published.levels)))
            notes += forward(plan, published, producer=shared.necks[-1].shown)
    return Wiring(blueprint, selection, plans, shared, notes)


def _shared_plan(recipe: Recipe, plans: Sequence[TaskPlan]) -> TaskPlan | None:
    """The necks that all tasks share, which have to return what all of them require together."""
    if not recipe.shared_neck:
        return None
    requirements = [requirement for plan in plans if (requirement := plan.demand().requirement) is not None]
    shared = _plan("", TaskRecipe(None, recipe.shared_neck))
    shared.wanted = reduce(Requirement.union, requirements, Requirement())
    return shared


def _working_fixes(recipe: Recipe, plan: TaskPlan, blueprint: Blueprint, available: FeaturePyramid) -> list[str]:
    """Changes under which the recipe can be wired, each tried: what a message offers has to work."""
    found: dict[str, str] = {}
    for override, changed in changes_that_may_fit(recipe, plan, available):
        key = override.partition("=")[0]
        if key not in found:  # the first value that works is enough
            with suppress(ContractError, RecipeError):
                _wired(changed, blueprint, offers_fixes=False)
                found[key] = override
    return list(found.values())


def _plan(name: str, recipe: TaskRecipe) -> TaskPlan:
    head = None if recipe.head is None else _part_plan("head", recipe.head)
    plan = TaskPlan(name, recipe, [_part_plan("neck", neck) for neck in recipe.neck], head)
    faults = [fault for part in plan.parts for fault in _option_faults(part, plan.path)]
    if faults:
        raise RecipeError(faults)
    return plan


def _part_plan(kind: str, recipe: PartRecipe) -> PartPlan:
    part = resolve(kind, recipe.name)
    check_declarations(kind, recipe.name, part)
    return PartPlan(kind, recipe.name, part, dict(recipe.options), receives=FeaturePyramid(()))


def _option_faults(plan: PartPlan, path: str) -> list[str]:
    # Shipped parts were checked against the option table; a plugin's part is first known here.
    known = option_names(plan.part.__init__)
    return [
        f"{path}{plan.kind}.{option}: {plan.name} has no such option; it takes {', '.join(known) or 'none'}."
        for option in plan.options
        if option not in known
    ]


def _pyramid_plan(blueprint: Blueprint, requirement: Requirement) -> PartPlan:
    part = resolve("neck", PYRAMID)
    strides = tuple(requirement.strides)
    own = 2 ** octave(blueprint.levels[-1].stride)
    if requirement.last and own > max(strides):
        # The deepest map is required too: the backbone's own, not one made finer.
        strides = (*strides, own)
    options = {**defaults(part.__init__), "strides": strides}
    return PartPlan("neck", PYRAMID, part, options, FeaturePyramid(()), inserted=True)


def _pyramid_note(blueprint: Blueprint, consumer: PartPlan, requirement: Requirement) -> str:
    strides = ", ".join(map(str, requirement.strides))
    return (
        f"{PYRAMID} inserted: {consumer.shown} requires levels at strides {strides}; {blueprint.name} has "
        f"the single stride {blueprint.levels[-1].stride:g} (adapt: never refuses this instead)"
    )


def _forward(
    task: TaskPlan,
    features: FeaturePyramid,
    *,
    producer: str,
    may_adapt: bool,
    fixes: Callable[[TaskPlan], Sequence[str]],
) -> list[str]:
    """Constructs every part on the meta device from what the one before, first of all `producer`, publishes. Returns
    notes on necks that were made to return more levels. `fixes`: changes under which the recipe can be wired."""
    notes: list[str] = []
    publishers = dict.fromkeys(features.extras, producer)  # who adds each extra
    for position, plan in enumerate(task.parts):
        behind = replace(task, necks=task.necks[position:])
        if may_adapt and position and (note := grow_neck(behind, features, producer)) is not None:
            notes.append(note)
        plan.receives = features
        requirement = plan.part.needs(None, **pick(plan.options, plan.part.needs))  # type: ignore[attr-defined]
        missing = requirement.missing_extras(features)
        if missing:
            requires = f"{plan.shown}{task.of_task} requires {', '.join(missing)}, which {producer} does not"
            lost = [name for name in missing if name in publishers]
            if lost:
                raise ContractError(
                    f"{requires} pass on: {publishers[lost[0]]} returns {lost[0]}. The fix: {producer} before "
                    f"{publishers[lost[0]]}, or without it; a neck of your own passes on maps.extras."
                )
            raise ContractError(f"{requires} return. " + _fix_for_extras(missing, f"{task.path}neck"))
        try:
            with shapes_alone() as count:
                built = plan.construct()
        except ContractError as error:
            raise _misfit(error, task, plan, behind.demand().requirement, producer, fixes) from error
        plan.num_bytes = count.num_bytes
        if plan.kind == "neck":
            features = built.features  # type: ignore[assignment]
            plan.publishes = features
            publishers = {**dict.fromkeys(features.extras, plan.shown), **publishers}
        producer = plan.shown
    return notes


def _misfit(
    error: ContractError,
    task: TaskPlan,
    plan: PartPlan,
    requirement: Requirement | None,
    producer: str,
    fixes: Callable[[TaskPlan], Sequence[str]],
) -> ContractError:
    """The error of a part that could not be constructed; where it lacks levels, with the changes that help."""
    missing = () if requirement is None else requirement.missing_strides(plan.receives)
    working = fixes(task) if missing else ()
    if requirement is None or not working:
        return error
    given = ", ".join(f"{stride:g}" for stride in plan.receives.strides)
    return ContractError(
        f"{plan.shown}{task.of_task} requires levels at strides {', '.join(map(str, requirement.strides))}; {producer} "
        f"returns strides {given}, so {', '.join(map(str, missing))} is missing. The fix: {', or '.join(working)}."
    )


def _fix_for_extras(extras: Sequence[str], path: str) -> str:
    # Over the usual pyramid: this looks for the necks that return such extras at all.
    features = FeaturePyramid(tuple(Level(f"p{power}", 64, 2**power) for power in (2, 3, 4, 5)))
    sizes: dict[str, int] = {}
    for name in names("neck"):
        try:
            with torch.device("meta"):
                neck = resolve("neck", name)(features)
        except ContractError:
            continue
        if set(extras) <= set(neck.features.extras):
            sizes[name] = sum(parameter.numel() for parameter in neck.parameters())
    if not sizes:
        return f"No known neck returns it. {part_of_your_own('neck')}"
    first, *others = sorted(sizes, key=lambda name: sizes[name])
    return f"The fix: {path}={first}" + (f" (or {', '.join(others)})." if others else ".")
