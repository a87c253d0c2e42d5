"""A task of a model: the backbone's maps through its necks and its head to a prediction, and on to its losses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from backbonekit.contract.labels import Labels, LabelsByTask
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import Prediction, Scoring
from backbonekit.contract.roles import reads_of
from backbonekit.contract.targets import TargetReader, Targets, targets_of


class TaskModules(NamedTuple):
    """The modules of one task. `neck`: its necks in order. `head`, `criterion`: None where it has none."""

    neck: nn.ModuleList
    head: nn.Module | None
    criterion: nn.Module | None


class SharedNeck(NamedTuple):
    """The necks that run once, before all tasks. `levels`: positions among the backbone's maps that enter the first.
    `inserted`: positions of those necks that wiring put in."""

    necks: nn.ModuleList
    levels: tuple[int, ...] = ()
    inserted: tuple[int, ...] = ()


class HasTaskModules(Protocol):
    """A model with the modules of its tasks: of the only one, or of several in a `ModuleDict` each, by task."""

    neck: nn.Module
    head: nn.Module | None
    criterion: nn.Module | None


@dataclass(slots=True)
class TaskOutput:
    """`maps`: what entered the head, or without a head what the last neck returned. `losses`: scalars by name."""

    maps: FeatureMaps
    prediction: Prediction | None = None
    losses: dict[str, Tensor] = field(default_factory=dict)


@dataclass(slots=True)
class Task:
    """One task of a model. `name`: '' for the only task of a model whose tasks have no names.

    `levels`: positions among the backbone's maps that enter the first part. `loss_weight`: factor on every loss.
    `head_name`: as registered, '' without a head. `inserted`: positions of those necks that wiring put in.

    A task keeps no module: it reads them from the model when it runs, so that a head that was replaced, wrapped
    (FSDP, peft) or replicated (DataParallel) is the one that runs.
    """

    name: str
    levels: tuple[int, ...]
    loss_weight: float = 1.0
    head_name: str = ""
    inserted: tuple[int, ...] = ()

    def modules(self, model: HasTaskModules) -> TaskModules:
        """The task's modules as they stand in `model` now."""
        if not self.name:
            return TaskModules(model.neck, model.head, model.criterion)  # type: ignore[arg-type]
        necks: Any = model.neck
        return TaskModules(necks[self.name], _of(model.head, self.name), _of(model.criterion, self.name))

    def scoring(self, model: HasTaskModules) -> Scoring | None:
        """How scores are read off the prediction: a criterion that trains the head for another reading decides, else
        the head. None without a head."""
        _, head, criterion = self.modules(model)
        if head is None:
            return None
        # Only criteria that change what a head's numbers mean declare it.
        return getattr(criterion, "scoring", None) or head.scoring  # type: ignore[return-value]

    def reader(self, model: HasTaskModules) -> TargetReader | None:
        """The target keys of the criterion, or of a head with losses of its own; None without a head."""
        return reader_of(self.name, self.head_name, self.modules(model))

    def run(self, model: HasTaskModules, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> TaskOutput:
        """The task on the backbone's maps. Losses where targets are given: the criterion's, or the head's own."""
        neck, head, criterion = self.modules(model)
        maps = selected(maps, self.levels)
        targets = None if targets is None else targets_of(targets, self.name)
        for part in neck:
            maps = part(maps, canvas)
        if head is None:
            return TaskOutput(maps)
        prediction: Prediction = head(maps, canvas, targets)
        if targets is None:
            return TaskOutput(maps, prediction)
        losses = prediction.get("losses") or {} if criterion is None else criterion(prediction, targets, canvas)
        if self.loss_weight != 1.0:
            losses = {name: loss * self.loss_weight for name, loss in losses.items()}
        return TaskOutput(maps, prediction, losses)


def labels_of_results(by_task: LabelsByTask, task: str | None) -> Labels | LabelsByTask | None:
    """The names for the results of `task`, or of all: of one task, or by task where they differ."""
    if task in by_task or len(by_task) == 1:
        return by_task[task if task in by_task else next(iter(by_task))]  # type: ignore[index]
    return by_task if len(set(by_task.values())) > 1 else next(iter(by_task.values()), None)


def reader_of(task: str, head_name: str, modules: TaskModules) -> TargetReader | None:
    """Which target keys the losses of a task read. Raises ContractError for a part that declares none."""
    if modules.head is None:
        return None
    reads = reads_of(modules.head if modules.criterion is None else modules.criterion)
    return TargetReader(head_name, reads, task)


def modules_by_kind(
    tasks: Sequence[tuple[Task, TaskModules]],
) -> tuple[nn.Module, nn.Module | None, nn.Module | None]:
    """All necks, heads and criteria as a model registers them, which names its parameters: `neck.N.*` and `head.*`,
    and with named tasks `neck.TASK.N.*` and `head.TASK.*`."""
    (first, modules), *others = tasks
    if not first.name and not others:
        return modules
    return (
        nn.ModuleDict({task.name: modules.neck for task, modules in tasks}),
        nn.ModuleDict({task.name: modules.head for task, modules in tasks if modules.head is not None}),
        nn.ModuleDict({task.name: modules.criterion for task, modules in tasks if modules.criterion is not None}),
    )


def selected(maps: FeatureMaps, levels: tuple[int, ...]) -> FeatureMaps:
    """The maps at these positions, with all extras."""
    tokens = maps.prefix_tokens
    return FeatureMaps(
        maps=tuple(maps.maps[position] for position in levels),
        extras=maps.extras,
        prefix_tokens=tuple(tokens[position] for position in levels) if tokens else (),
    )


def _of(modules: Any, task: str) -> nn.Module | None:
    # ModuleDict has no `get`.
    return modules[task] if task in modules else None  # noqa: SIM401
