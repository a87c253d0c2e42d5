"""From a recipe to a model: constructs every part, fills what a checkpoint covers, starts the rest from a seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from torch import nn

from backbonekit.assembly.composed_model import Chain, ComposedModel
from backbonekit.assembly.partial import fill_matching
from backbonekit.assembly.processing import merge_processing
from backbonekit.assembly.signature import pick
from backbonekit.assembly.weight_report import WeightReport, WeightSource
from backbonekit.assembly.wire import Branch, PartPlan, Wiring, wire
from backbonekit.contract.processing import Processing
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.recipe import PartRecipe, Recipe
from backbonekit.registry.lookup import resolve
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.fill import Adapt, FillReport, construct_filled, not_finite_note
from backbonekit.weights.private_random import seeded


def build_model(
    model: str | Path | Mapping[str, Any] | Recipe,
    overrides: Sequence[str] = (),
    *,
    seed: int = 0,
    config_dir: str | Path | None = None,
) -> ComposedModel:
    """A model from the name of a shipped recipe, a YAML file, a mapping or a `Recipe`, in eval mode on the CPU.

    `overrides` are those of the command line: `["backbone=swin_tiny", "head.num_classes=7"]`. `seed` starts what no
    checkpoint fills; the global random state is left alone. Raises RecipeError, ContractError, WeightsError,
    StorageError.
    """
    return build_composed(compose_recipe(model, overrides, config_dir=config_dir), seed=seed)


@dataclass(frozen=True, slots=True)
class Warm:
    """A saved model to start from: its weights under our names, and the recipe that they belong to."""

    checkpoint: Checkpoint
    recipe: Recipe


def build_composed(recipe: Recipe, *, seed: int = 0, warm: Warm | None = None) -> ComposedModel:
    """Wires, constructs and fills. With `warm`, every part that its recipe shares keeps its weights."""
    wiring = wire(recipe)
    builder = _Builder(wiring, recipe, seed, warm)
    backbone = builder.backbone()
    chains = {task: builder.chain(task, branch) for task, branch in wiring.branches.items()}
    processing = merge_processing(wiring, recipe)
    model = ComposedModel(
        backbone,
        chains,
        recipe=_completed(recipe, wiring, processing, builder.commit),
        processor=ImageProcessor(processing, labels=recipe.labels),
    )
    model.weight_report = WeightReport(builder.sources, [*recipe.notes, *wiring.notes, *builder.notes])
    return model.eval()


class _Builder:
    """Constructs one part after the other and keeps the sources for the report."""

    def __init__(self, wiring: Wiring, recipe: Recipe, seed: int, warm: Warm | None) -> None:
        self.wiring = wiring
        self.recipe = recipe
        self.seed = seed
        self.warm = warm
        self.sources: list[WeightSource] = []
        self.notes: list[str] = []
        self.commit: str | None = None

    def backbone(self) -> nn.Module:
        blueprint, indices = self.wiring.blueprint, self.wiring.selection.out_indices
        wanted = self.recipe.backbone

        def construct() -> nn.Module:
            return blueprint.construct(indices)  # type: ignore[return-value]

        if self.warm is not None and self._is_same_architecture:
            saved = self.warm.checkpoint.under("backbone.")
            if not self._has_same_backbone:
                return self._matched("backbone", construct, saved, adapt=blueprint.adapt)
            # Other parts may want fewer stages than were saved.
            may_exceed = () if self._has_same_parts else ("*",)
            return self._filled("backbone", construct, saved, adapt=blueprint.adapt, may_exceed=may_exceed)
        if not wanted.pretrained:
            return self._random("backbone", construct)
        checkpoint = blueprint.checkpoint(wanted.pretrained, wanted.revision, indices)
        self.commit = checkpoint.commit
        return self._filled("backbone", construct, checkpoint, adapt=blueprint.adapt)

    def chain(self, task: str, branch: Branch) -> Chain:
        dot = f".{task}" if task else ""
        saved = self._saved_parts(task, dot)
        necks = []
        for position, plan in enumerate(branch.necks):
            nth = [other.name for other in branch.necks[:position]].count(plan.name)
            necks.append(self._part(f"neck{dot}.{position}", plan, saved.get(("neck", plan.name, nth))))
        head = None
        if branch.head is not None:
            head = self._part(f"head{dot}", branch.head, saved.get(("head", branch.head.name, 0)))
        return Chain(necks, head, self._criterion(branch), branch.levels, branch.loss_weight)

    def _saved_parts(self, task: str, dot: str) -> dict[tuple[str, str, int], str]:
        """The warm model's parts of this task: (kind, name, how many of that name before it) -> where its weights are.

        By name and not by position: inserting a pyramid moves the neck behind it.
        """
        if self.warm is None:
            return {}
        recipe = self.warm.recipe
        parts = recipe.heads.get(task) if task else recipe
        if parts is None:
            return {}
        saved: dict[tuple[str, str, int], str] = {}
        for position, part in enumerate(parts.neck):
            nth = [other.name for other in parts.neck[:position]].count(part.name)
            saved["neck", part.name, nth] = f"neck{dot}.{position}."
        if parts.head is not None:
            saved["head", parts.head.name, 0] = f"head{dot}."
        return saved

    def _part(self, prefix: str, plan: PartPlan, stored_under: str | None) -> nn.Module:
        if self.warm is None or stored_under is None:
            return self._random(prefix, plan.construct)
        checkpoint = self.warm.checkpoint.under(stored_under)
        if self._has_same_backbone and self._has_same_parts:
            return self._filled(prefix, plan.construct, checkpoint)
        return self._matched(prefix, plan.construct, checkpoint)

    @property
    def _is_same_architecture(self) -> bool:
        """Whether the warm model's backbone has weights for this one, though perhaps not all, or of another shape."""
        return self.warm is not None and _identity(self.recipe.backbone) == _identity(self.warm.recipe.backbone)

    @property
    def _has_same_backbone(self) -> bool:
        return self.warm is not None and self.recipe.backbone == self.warm.recipe.backbone

    @property
    def _has_same_parts(self) -> bool:
        # All of them: one neck's width is the shape of another part's weights.
        return self.warm is not None and _parts_of(self.recipe) == _parts_of(self.warm.recipe)

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
            )
        )

    def _random(self, prefix: str, construct: Callable[[], nn.Module]) -> nn.Module:
        with seeded(self._seed_of(prefix)):
            module = construct()
        names = [name for name, _ in module.named_parameters()]
        origin = f"random, seed {self.seed}" if names else "no parameters"
        self.sources.append(WeightSource(prefix, origin, _numel(module)))
        return module

    def _seed_of(self, prefix: str) -> int:
        # A seed of its own for each part: swapping the backbone leaves a random head as it was.
        return self.seed * 2**32 + crc32(prefix.encode())

    def _criterion(self, branch: Branch) -> nn.Module | None:
        if branch.head is None:
            return None
        part = branch.criterion or (PartRecipe(branch.head.part.criterion, {}) if branch.head.part.criterion else None)  # type: ignore[attr-defined]
        if part is None:
            return None
        criterion = resolve("criterion", part.name)
        # Of losses without classes, such as those of depth, there is nothing to say.
        classes = pick({"num_classes": branch.num_classes}, criterion)
        return criterion(**classes, **part.options)


def _identity(backbone: Any) -> tuple[Any, ...]:
    """What decides whether one backbone's weights can be another's: the architecture, and where they were asked from.

    Arguments are not part of it: most (drop_path_rate, output_stride) change no weight.
    """
    return backbone.source, backbone.name, backbone.config, backbone.pretrained, backbone.revision


def _parts_of(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.neck, recipe.head, recipe.heads


def _numel(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _completed(recipe: Recipe, wiring: Wiring, processing: Processing, commit: str | None) -> Recipe:
    """The recipe with everything that was decided: indices, inserted pyramid, configuration, processing, commit."""
    backbone = replace(
        recipe.backbone,
        out_indices=wiring.selection.out_indices,
        out_features=None,
        out_strides=None,
        config=None if wiring.blueprint.config is None else dict(wiring.blueprint.config),
        revision=commit or recipe.backbone.revision,
    )
    necks = {
        task: tuple(PartRecipe(plan.name, plan.options) for plan in branch.necks)
        for task, branch in wiring.branches.items()
    }
    if recipe.heads:
        heads = {task: replace(parts, neck=necks[task]) for task, parts in recipe.heads.items()}
        return replace(recipe, backbone=backbone, heads=heads, processing=asdict(processing))
    return replace(recipe, backbone=backbone, neck=necks[""], processing=asdict(processing))
