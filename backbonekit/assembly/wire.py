"""Wiring: requirements go back from heads to the backbone, features go forward. No weight is read or allocated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from backbonekit.assembly.level_selection import Selection, select_levels
from backbonekit.assembly.signature import defaults, option_names, pick
from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.roles import Blueprint
from backbonekit.errors import ContractError, RecipeError
from backbonekit.recipe.recipe import PartRecipe, Recipe
from backbonekit.registry.lookup import names, resolve

PYRAMID = "simple_feature_pyramid"  # what is inserted where a single-stride backbone meets a part that wants strides


@dataclass(slots=True)
class PartPlan:
    """A neck or head about to be built: its class, its options, and what it will receive and publish."""

    kind: str
    name: str
    part: type
    options: dict[str, Any]
    receives: FeaturePyramid
    publishes: FeaturePyramid | None = None
    inserted: bool = False

    @property
    def shown(self) -> str:
        return f"{self.kind} {self.name}"

    def construct(self) -> torch.nn.Module:
        return self.part(self.receives, **self.options)


@dataclass(slots=True)
class Branch:
    """One task: its necks in order and its head. `levels`: positions among the backbone's maps that enter it."""

    necks: list[PartPlan]
    head: PartPlan | None
    levels: tuple[int, ...]
    criterion: PartRecipe | None
    num_classes: int | None
    loss_weight: float = 1.0


@dataclass(slots=True)
class Wiring:
    """Everything that is decided before a weight is read. `branches`: by task; the single one is called ''."""

    blueprint: Blueprint
    selection: Selection
    branches: dict[str, Branch]
    notes: list[str] = field(default_factory=list)


def wire(recipe: Recipe) -> Wiring:
    """Checks that the parts of a recipe fit and decides which maps the backbone gives.

    Raises RecipeError or ContractError; the sentence names producer, consumer, what is missing and the fix.
    """
    backbone = recipe.backbone
    blueprint: Blueprint = resolve("backbone", backbone.source)(
        backbone.name,
        config=backbone.config,
        revision=backbone.revision,
        in_channels=backbone.in_channels,
        args=backbone.args,
    )
    notes: list[str] = []
    drafts = {task: _draft(task, neck, head) for task, (neck, head) in _tasks(recipe).items()}
    requirements = {task: _requirement(plans) for task, plans in drafts.items()}
    consumers = {task: f"{plans[0].shown}{_of_task(task)}" for task, plans in drafts.items() if plans}
    without_head = {task for task, (_, head) in _tasks(recipe).items() if head is None}
    selection = select_levels(blueprint, backbone, requirements, consumers, recipe.adapt, without_head=without_head)
    branches: dict[str, Branch] = {}
    for task, plans in drafts.items():
        if task in selection.bridged:
            plans.insert(0, _pyramid_plan(blueprint, requirements[task]))
            notes.append(_pyramid_note(blueprint, plans[1], requirements[task]))
        levels = selection.levels_for(task)
        entering = FeaturePyramid(tuple(selection.features.levels[position] for position in levels))
        _forward(plans, entering, producer=f"backbone {blueprint.name}", task=task)
        branches[task] = _branch(recipe, task, plans, levels)
    return Wiring(blueprint, selection, branches, notes)


def _tasks(recipe: Recipe) -> dict[str, tuple[Sequence[PartRecipe], PartRecipe | None]]:
    if recipe.heads:
        return {task: (parts.neck, parts.head) for task, parts in recipe.heads.items()}
    return {"": (recipe.neck, recipe.head)}


def _draft(task: str, neck: Sequence[PartRecipe], head: PartRecipe | None) -> list[PartPlan]:
    nothing = FeaturePyramid(())
    plans = [
        PartPlan("neck", part.name, resolve("neck", part.name), dict(part.options), receives=nothing) for part in neck
    ]
    if head is not None:
        plans.append(PartPlan("head", head.name, resolve("head", head.name), dict(head.options), receives=nothing))
    path = f"heads.{task}." if task else ""
    faults = [fault for plan in plans for fault in _option_faults(plan, path)]
    if faults:
        raise RecipeError(faults)
    return plans


def _option_faults(plan: PartPlan, path: str) -> list[str]:
    # Shipped parts were checked against the option table; a plugin's part is first known here.
    known = option_names(plan.part.__init__)
    return [
        f"{path}{plan.kind}.{option}: {plan.name} has no such option; it takes {', '.join(known) or 'none'}."
        for option in plan.options
        if option not in known
    ]


def _requirement(plans: Sequence[PartPlan]) -> Requirement | None:
    """What the first of these parts wants from the backbone; None when there are no parts."""
    wanted: Requirement | None = None
    for plan in reversed(plans):
        needs = plan.part.needs  # type: ignore[attr-defined]
        wanted = needs(wanted, **pick(plan.options, needs))
    return wanted


def _pyramid_plan(blueprint: Blueprint, requirement: Requirement | None) -> PartPlan:
    assert requirement is not None
    part = resolve("neck", PYRAMID)
    strides = tuple(requirement.strides)
    own = 2 ** octave(blueprint.levels[-1].stride)
    if requirement.last and own > max(strides):
        # The deepest map is wanted besides, and that is the backbone's own, not one made fine.
        strides = (*strides, own)
    options = {**defaults(part.__init__), "strides": strides}
    return PartPlan("neck", PYRAMID, part, options, FeaturePyramid(()), inserted=True)


def _pyramid_note(blueprint: Blueprint, consumer: PartPlan, requirement: Requirement | None) -> str:
    assert requirement is not None
    strides = ", ".join(map(str, requirement.strides))
    return (
        f"{PYRAMID} inserted: {consumer.shown} wants levels at strides {strides}; {blueprint.name} has "
        f"the single stride {blueprint.levels[-1].stride:g} (adapt: never refuses this instead)"
    )


def _forward(plans: Sequence[PartPlan], features: FeaturePyramid, *, producer: str, task: str) -> None:
    """Constructs every part on the meta device from what the one before, first of all `producer`, publishes."""
    for plan in plans:
        plan.receives = features
        requirement = plan.part.needs(None, **pick(plan.options, plan.part.needs))  # type: ignore[attr-defined]
        missing = requirement.missing_extras(features)
        if missing:
            raise ContractError(
                f"{plan.shown}{_of_task(task)} wants {', '.join(missing)}, which {producer} does not give. "
                + _who_gives(missing, f"heads.{task}.neck" if task else "neck")
            )
        with torch.device("meta"):
            built = plan.construct()
        if plan.kind == "neck":
            features = built.features  # type: ignore[assignment]
            plan.publishes = features
        producer = plan.shown


def _of_task(task: str) -> str:
    return f" of task {task}" if task else ""


def _who_gives(extras: Sequence[str], path: str) -> str:
    # Asked over the usual pyramid: the question is which neck gives it at all.
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
        return "No neck that is known gives it."
    first, *others = sorted(sizes, key=lambda name: sizes[name])
    return f"The fix: {path}={first}" + (f" (or {', '.join(others)})." if others else ".")


def _branch(recipe: Recipe, task: str, plans: list[PartPlan], levels: tuple[int, ...]) -> Branch:
    head = plans[-1] if plans and plans[-1].kind == "head" else None
    parts = recipe.heads[task] if task else None
    head_recipe = parts.head if parts else recipe.head
    options: Mapping[str, Any] = head.options if head else {}
    return Branch(
        necks=[plan for plan in plans if plan.kind == "neck"],
        head=head,
        levels=levels,
        criterion=head_recipe.criterion if head_recipe else None,
        num_classes=options.get("num_classes"),
        loss_weight=parts.loss_weight if parts else 1.0,
    )
