"""From a recipe to a model: constructs every part, fills what a checkpoint covers, starts the rest from a seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import torch
from torch import nn

from backbonekit.assembly.band_seeds import BandSeeds
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.ignored_label import ignored_class_notes, num_segmented, wired_label
from backbonekit.assembly.image_sizes import fitted_processing
from backbonekit.assembly.initial_weights import InitialWeights, fill_matching
from backbonekit.assembly.placement import Device, DType, placed, read_device, read_dtype
from backbonekit.assembly.plan import PartPlan, TaskPlan
from backbonekit.assembly.processing import merge_processing, statistics_notes
from backbonekit.assembly.target_rules import rules_by_task
from backbonekit.assembly.task import SharedNeck, Task, TaskModules, reader_of
from backbonekit.assembly.wire import Wiring, wire
from backbonekit.contract.processing import Processing
from backbonekit.contract.signatures import pick
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.recipe import PartRecipe, Recipe
from backbonekit.registry.lookup import resolve
from backbonekit.weights.budget import within_memory
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.construct import shapes_alone
from backbonekit.weights.fill import Adapt, FillReport, construct_filled, not_finite_note
from backbonekit.weights.private_random import seeded
from backbonekit.weights.weight_report import RANDOM, WeightReport, WeightSource, with_saved_random

_SHARED = "shared_neck"  # where the necks stand that all tasks share
_Part = TypeVar("_Part", PartPlan, PartRecipe)


def build_model(
    model: str | Path | Mapping[str, Any] | Recipe,
    overrides: Sequence[str] = (),
    *,
    seed: int = 0,
    config_dir: str | Path | None = None,
    device: Device = None,
    dtype: DType = None,
) -> ComposedModel:
    """A model from the name of a shipped recipe, a YAML file, a mapping or a `Recipe`, in eval mode.

    `overrides` are those of the command line: `["backbone=swin_tiny", "head.num_classes=7"]`. `seed` starts what no
    checkpoint fills; the global random state is left alone. `device`: where the weights are put once they are filled;
    `meta` is no memory at all: shapes alone, nothing filled. `dtype`: of the weights, float32 when unset. Raises
    RecipeError, ContractError, WeightsError, StorageError.
    """
    where, kind = read_device(device), read_dtype(dtype)
    recipe = compose_recipe(model, overrides, config_dir=config_dir)
    return build_composed(recipe, seed=seed, device=where, dtype=kind)


def build_composed(
    recipe: Recipe,
    *,
    seed: int = 0,
    initial: InitialWeights | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> ComposedModel:
    """Wires, constructs and fills. With `initial`, every part that its recipe shares keeps its weights."""
    wiring = wire(recipe)
    processing, notes = fitted_processing(
        merge_processing(wiring, recipe),
        wiring.blueprint,
        wiring.selection.out_indices,
        may_adapt=recipe.adapt == "auto",
    )
    has_values = device is None or device.type != "meta"
    builder = _Builder(wiring, recipe, seed, initial, has_values=has_values)
    with within_memory(_num_bytes(wiring) if has_values else 0):
        backbone = builder.backbone()
        shared = builder.shared_neck()
        modules = [builder.modules(plan) for plan in wiring.tasks]
    tasks = [(_task(plan), own) for plan, own in zip(wiring.tasks, modules, strict=True)]
    found = [reader_of(task.name, task.head_name, own) for task, own in tasks]
    readers = [reader for reader in found if reader is not None]
    notes = [*notes, *builder.notes, *ignored_class_notes(wiring, processing), *statistics_notes(wiring, recipe)]
    model = ComposedModel(
        backbone,
        tasks,
        recipe=_completed(recipe, wiring, processing, builder.commit),
        processor=ImageProcessor(
            processing,
            labels=recipe.labels,
            num_classes=num_segmented(wiring),
            readers=readers,
            tasks=rules_by_task(wiring, recipe, processing, readers),
        ),
        shared=shared,
        weight_report=WeightReport(
            builder.sources,
            [*recipe.notes, *wiring.notes, *notes],
        ),
    )
    return placed(model.eval(), device, dtype)


class _Builder:
    """Constructs one part after the other and keeps the sources for the report. Without `has_values` parts are on the
    meta device, and nothing is filled."""

    def __init__(
        self, wiring: Wiring, recipe: Recipe, seed: int, initial: InitialWeights | None, *, has_values: bool
    ) -> None:
        self.wiring = wiring
        self.recipe = recipe
        self.seed = seed
        self.initial = initial
        self.has_values = has_values
        self.sources: list[WeightSource] = []
        self.notes: list[str] = []
        self.commit: str | None = None
        # First, since options that do not go together are found before any weight is read.
        self.criteria = {
            plan.name: _criterion(plan, wired_label(wiring, plan, recipe.processing)) for plan in wiring.tasks
        }

    def backbone(self) -> nn.Module:
        blueprint, indices = self.wiring.blueprint, self.wiring.selection.out_indices
        recipe = self.recipe.backbone
        seeds = None if recipe.bands_from is None else BandSeeds(blueprint.adapt, recipe.bands_from)
        adapt = seeds or blueprint.adapt

        def construct() -> nn.Module:
            return blueprint.construct(indices)  # type: ignore[return-value]

        if not self.has_values:
            return self._random("backbone", construct)
        if self.initial is not None and self._is_same_architecture:
            saved = self.initial.checkpoint.under("backbone.")
            if not self._has_same_backbone:
                module = self._matched("backbone", construct, saved, adapt=adapt)
                if seeds is not None:
                    seeds.check_used()
            else:
                # Other parts may require fewer stages than were saved.
                may_exceed = () if self._has_same_parts else ("*",)
                module = self._filled("backbone", construct, saved, adapt=blueprint.adapt, may_exceed=may_exceed)
            return self._as_saved("backbone", module)
        if not recipe.pretrained:
            if seeds is not None:
                seeds.check_used()  # random weights have no stem to choose from
            return self._random("backbone", construct)
        checkpoint = blueprint.checkpoint(recipe.pretrained, recipe.revision, indices)
        self.commit = checkpoint.commit
        module = self._filled("backbone", construct, checkpoint, adapt=adapt)
        if seeds is not None:
            seeds.check_used()
        return module

    def modules(self, plan: TaskPlan) -> TaskModules:
        """The necks, the head and the criterion of a task."""
        saved = self._saved_parts(plan.name)
        modules: dict[str, nn.Module] = {}
        for path, key, part in _located(plan.name, plan.necks, plan.head):
            modules[path] = self._part(path, part, saved.get(key))
        head = modules.pop(_path("head", plan.name), None)
        return TaskModules(nn.ModuleList(modules.values()), head, self.criteria[plan.name])

    def shared_neck(self) -> SharedNeck:
        """The necks before all tasks."""
        plan = self.wiring.shared
        if plan is None:
            return SharedNeck(nn.ModuleList())
        before = () if self.initial is None else self.initial.recipe.shared_neck
        saved = {key: f"{path}." for path, key, _ in _located("", before, None, kind=_SHARED)}
        located = _located("", plan.necks, None, kind=_SHARED)
        return SharedNeck(
            nn.ModuleList(self._part(path, part, saved.get(key)) for path, key, part in located),
            plan.levels,
            plan.inserted,
        )

    def _saved_parts(self, task: str) -> dict[tuple[str, str, int], str]:
        """Where the initial weights of this task's parts stand."""
        recipe = None if self.initial is None else self.initial.recipe.tasks.get(task)
        if recipe is None:
            return {}
        return {key: f"{path}." for path, key, _ in _located(task, recipe.neck, recipe.head)}

    def _part(self, prefix: str, plan: PartPlan, stored_under: str | None) -> nn.Module:
        if self.initial is None or stored_under is None or not self.has_values:
            return self._random(prefix, plan.construct)
        checkpoint = self.initial.checkpoint.under(stored_under)
        if self._has_same_backbone and self._has_same_parts:
            module = self._filled(prefix, plan.construct, checkpoint)
        else:
            module = self._matched(prefix, plan.construct, checkpoint)
        return self._as_saved(stored_under.removesuffix("."), module)

    def _as_saved(self, path: str, module: nn.Module) -> nn.Module:
        """Corrects the last source: what the saved model never trained did not become trained by being saved."""
        assert self.initial is not None
        source = with_saved_random(self.sources[-1], self.initial.random, path, module)
        if self.initial.bases is not None:
            source = replace(source, base=self.initial.bases.get(path))
        self.sources[-1] = source
        return module

    @property
    def _is_same_architecture(self) -> bool:
        """Whether the initial weights fit this backbone, though perhaps not all of them, or in another shape."""
        return self.initial is not None and _identity(self.recipe.backbone) == _identity(self.initial.recipe.backbone)

    @property
    def _has_same_backbone(self) -> bool:
        return self.initial is not None and self.recipe.backbone == self.initial.recipe.backbone

    @property
    def _has_same_parts(self) -> bool:
        # All of them: one neck's width is the shape of another part's weights.
        return self.initial is not None and _parts_of(self.recipe) == _parts_of(self.initial.recipe)

    def _matched(
        self, prefix: str, construct: Callable[[], nn.Module], checkpoint: Checkpoint, *, adapt: Adapt | None = None
    ) -> nn.Module:
        """After a change of options (other classes), or of what a part receives: what still fits stays."""
        with seeded(self._seed_of(prefix)):
            module = construct()
        report = fill_matching(module, checkpoint, adapt=adapt)
        self._note_source(prefix, module, report, checkpoint)
        return module

    def _filled(
        self,
        prefix: str,
        construct: Callable[[], nn.Module],
        checkpoint: Checkpoint,
        *,
        adapt: Adapt | None = None,
        may_exceed: Sequence[str] = (),
    ) -> nn.Module:
        module, report = construct_filled(
            construct, checkpoint, seed=self._seed_of(prefix), adapt=adapt, may_exceed=may_exceed
        )
        self._note_source(prefix, module, report, checkpoint)
        return module

    def _note_source(self, prefix: str, module: nn.Module, report: FillReport, checkpoint: Checkpoint) -> None:
        if report.not_finite:
            self.notes.append(not_finite_note(report.origin, [f"{prefix}.{name}" for name in report.not_finite]))
        self.sources.append(
            WeightSource(
                prefix,
                report.origin,
                _numel(module),
                loaded=report.loaded_parameters,
                adapted=list(report.adapted),
                fresh=list(report.missing),
                unused=len(report.surplus),
                licence=checkpoint.licence,
                base=checkpoint.base,
            )
        )

    def _random(self, prefix: str, construct: Callable[[], nn.Module]) -> nn.Module:
        with seeded(self._seed_of(prefix)) if self.has_values else shapes_alone():
            module = construct()
        names = [name for name, _ in module.named_parameters()]
        origin = f"{RANDOM}, seed {self.seed}" if self.has_values else "no values, on the meta device"
        origin = origin if names else "no parameters"
        self.sources.append(WeightSource(prefix, origin, _numel(module)))
        return module

    def _seed_of(self, prefix: str) -> int:
        # A seed of its own for each part: swapping the backbone leaves a random head as it was.
        return self.seed * 2**32 + crc32(prefix.encode())


def _path(kind: str, task: str) -> str:
    """Where the parts of a kind stand among the model's parameters."""
    return f"{kind}.{task}" if task else kind


def _located(
    task: str, necks: Sequence[_Part], head: _Part | None, *, kind: str = "neck"
) -> Iterator[tuple[str, tuple[str, str, int], _Part]]:
    """Every part of a task with its path among the parameters and its identity: (kind, name, how many of that name
    stand before it). By name and not by position, since an inserted pyramid moves the necks behind it."""
    names: list[str] = []
    for position, neck in enumerate(necks):
        yield f"{_path(kind, task)}.{position}", ("neck", neck.name, names.count(neck.name)), neck
        names.append(neck.name)
    if head is not None:
        yield _path("head", task), ("head", head.name, 0), head


def _task(plan: TaskPlan) -> Task:
    head = plan.recipe.head
    return Task(plan.name, plan.levels, plan.recipe.loss_weight, "" if head is None else head.name, plan.inserted)


def _criterion(plan: TaskPlan, ignore_label: int | None) -> nn.Module | None:
    """The recipe's criterion, or the head's default. `ignore_label`: None leaves it to the criterion."""
    if plan.head is None or plan.recipe.head is None:
        return None
    default = plan.head.part.criterion  # type: ignore[attr-defined]
    recipe = plan.recipe.head.criterion or (PartRecipe(default) if default else None)
    if recipe is None:
        return None
    criterion = resolve("criterion", recipe.name)
    wired = {"num_classes": plan.head.options.get("num_classes")}
    if ignore_label is not None:
        wired["ignore_label"] = ignore_label
    # Losses without classes, such as those of depth, have no such options.
    return criterion(**pick(wired, criterion), **recipe.options)


def _identity(backbone: Any) -> tuple[Any, ...]:
    """What decides whether one backbone's weights can be another's: the architecture, and where they come from.

    Arguments are not part of it: most (drop_path_rate, output_stride) change no weight.
    """
    return backbone.source, backbone.name, backbone.config, backbone.pretrained, backbone.revision


def _parts_of(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.neck, recipe.head, recipe.heads


def _num_bytes(wiring: Wiring) -> int:
    """Of everything that a build constructs, before it does."""
    parts = sum(part.num_bytes for plan in wiring.plans for part in plan.parts)
    return parts + wiring.blueprint.num_bytes(wiring.selection.out_indices)


def _numel(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _completed(recipe: Recipe, wiring: Wiring, processing: Processing, commit: str | None) -> Recipe:
    """The recipe with everything that was decided: indices, inserted pyramid, configuration, processing, commit."""
    described = dict(wiring.blueprint.described_as)
    if described:
        described["args"] = {**described["args"], **recipe.backbone.args}
        if recipe.backbone.pretrained is True:
            described["pretrained"] = recipe.backbone.name
    backbone = replace(
        recipe.backbone,
        **described,
        out_indices=wiring.selection.out_indices,
        out_features=None,
        out_strides=None,
        config=None if wiring.blueprint.config is None else dict(wiring.blueprint.config),
        revision=commit or recipe.backbone.revision,
    )
    necks = {plan.name: tuple(PartRecipe(neck.name, neck.options) for neck in plan.necks) for plan in wiring.tasks}
    shared = () if wiring.shared is None else wiring.shared.necks
    return replace(recipe, backbone=backbone, processing=asdict(processing)).with_necks(
        necks, tuple(PartRecipe(neck.name, neck.options) for neck in shared)
    )
