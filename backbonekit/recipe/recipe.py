"""A recipe as frozen data: what to build, checked and complete, and nothing of how it was written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from backbonekit.contract.labels import Labels

SCHEMA_VERSION = 2


@dataclass(frozen=True, slots=True)
class BackboneRecipe:
    """Which backbone, from where, and which of its maps.

    At most one of `out_indices`, `out_features`, `out_strides` is set; none leaves the choice to wiring.

    `source`: who builds it: hf, timm, transformers, or a plugin's. `name`: Hub id, local folder or timm architecture.
    `config`: the architecture as plain data, in the form of a transformers `config.json`. `pretrained`: false, true
    (the weights of `name`), or a folder, file or Hub id of weights. `revision`: commit, tag or branch of the Hub.
    `out_indices`: which maps, by their number in the source's own count; auto takes those that the next part requires.
    `out_features`: which maps, by name, such as stage2.
    `out_strides`: which maps, by stride, such as [8, 16, 32].
    `in_channels`: bands of an image.
    `bands_from`: the pretrained channel that each of the `in_channels` starts from, null: their mean; unset: the usual
    rule. `args`: the architecture's own arguments, such as drop_path_rate, checked against it.
    """

    source: str
    name: str | None = None
    config: Mapping[str, Any] | None = None
    pretrained: bool | str = False
    revision: str | None = None
    out_indices: tuple[int, ...] | None = None
    out_features: tuple[str, ...] | None = None
    out_strides: tuple[float, ...] | None = None
    in_channels: int = 3
    bands_from: tuple[int | None, ...] | None = None
    args: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        maps: dict[str, Any] = {"out_indices": "auto"}
        for key, value in (
            ("out_indices", self.out_indices),
            ("out_features", self.out_features),
            ("out_strides", self.out_strides),
        ):
            if value is not None:
                maps = {key: list(value)}
        return {
            "source": self.source,
            "name": self.name,
            "config": plain_data(self.config),
            "pretrained": self.pretrained,
            "revision": self.revision,
            **maps,
            "in_channels": self.in_channels,
            **({} if self.bands_from is None else {"bands_from": list(self.bands_from)}),
            "args": plain_data(self.args),
        }


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """A neck, head or criterion: its registry name and all its options. `criterion`: of a head, if not its default."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    criterion: "PartRecipe | None" = None

    def to_dict(self) -> dict[str, Any]:
        part = {"name": self.name, **plain_data(self.options)}
        return part if self.criterion is None else {**part, "criterion": self.criterion.to_dict()}


@dataclass(frozen=True, slots=True)
class TaskRecipe:
    """One task: a head, or none, behind its necks.

    `head`: its head. `neck`: its necks, after those that all tasks share. `loss_weight`: its losses are multiplied by
    it. `labels`: its own class names, null for those of the model. `processing`: what it has of its own of the
    processing of targets, `ignore_label` and `label_map`; the rest is the model's.
    """

    head: PartRecipe | None
    neck: tuple[PartRecipe, ...] = ()
    loss_weight: float = 1.0
    labels: Labels | None = None
    processing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int | None:
        """Of its head; None where it has no such option."""
        count = None if self.head is None else self.head.options.get("num_classes")
        return count if isinstance(count, int) else None

    def to_dict(self) -> dict[str, Any]:
        # Only where there are some: a task without is written as it always was.
        labels = {} if self.labels is None else {"labels": plain_labels(self.labels)}
        processing = {"processing": plain_data(self.processing)} if self.processing else {}
        return {
            "neck": _parts(self.neck),
            "head": _head(self.head),
            "loss_weight": self.loss_weight,
            **labels,
            **processing,
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole model. Either `neck` and `head`, or `heads`, one for each task, behind a `neck` that they share.

    `requires`: the installed packages whose parts it has, with their versions.
    `notes`: messages on what composing decided, such as what a swapped part dropped; no part of the recipe itself.
    """

    backbone: BackboneRecipe
    neck: tuple[PartRecipe, ...] = ()
    head: PartRecipe | None = None
    heads: Mapping[str, TaskRecipe] = field(default_factory=dict)
    labels: Labels | None = None
    processing: Mapping[str, Any] = field(default_factory=dict)
    adapt: Literal["auto", "never"] = "auto"
    training: Mapping[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    requires: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def tasks(self) -> Mapping[str, TaskRecipe]:
        """The tasks by name: `heads`, or the only one, whose name is ''."""
        return self.heads or {"": TaskRecipe(self.head, self.neck)}

    def task_labels(self, name: str) -> Labels | None:
        """The class names of a task: its own, else the model's where it has as many classes as they name."""
        task = self.tasks[name]
        if task.labels is not None or self.labels is None:
            return task.labels
        counts = (None, len(self.labels.names))
        return self.labels if task.num_classes in counts else None

    @property
    def shared_neck(self) -> tuple[PartRecipe, ...]:
        """The necks that run once, before those of each task; none where the model has one task."""
        return self.neck if self.heads else ()

    def with_necks(self, necks: Mapping[str, tuple[PartRecipe, ...]], shared: tuple[PartRecipe, ...] = ()) -> "Recipe":
        """The same recipe with these necks, by task, and these shared ones."""
        if not self.heads:
            return replace(self, neck=necks[""])
        return replace(
            self, neck=shared, heads={name: replace(task, neck=necks[name]) for name, task in self.heads.items()}
        )

    def to_dict(self) -> dict[str, Any]:
        """Flat, complete, plain: dicts, lists, texts, numbers, in one order. What is saved and shared."""
        tasks: dict[str, Any]
        if self.heads:
            # Only where there is one: a model without is written as it always was.
            shared = {"neck": _parts(self.neck)} if self.neck else {}
            tasks = {**shared, "heads": {name: task.to_dict() for name, task in self.heads.items()}}
        else:
            tasks = {"neck": _parts(self.neck), "head": _head(self.head)}
        return {
            "schema_version": self.schema_version,
            **({"requires": dict(self.requires)} if self.requires else {}),
            "backbone": self.backbone.to_dict(),
            **tasks,
            "labels": plain_labels(self.labels),
            "processing": plain_data(self.processing),
            "adapt": self.adapt,
            "training": plain_data(self.training),
        }


def plain_data(value: Any) -> Any:
    """A copy in which mappings are dicts and sequences are lists."""
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    return value


def _head(head: PartRecipe | None) -> dict[str, Any] | None:
    return None if head is None else head.to_dict()


def _parts(parts: tuple[PartRecipe, ...]) -> Any:
    """null, one mapping, or a list of them: the three ways to write a neck."""
    written = [part.to_dict() for part in parts]
    return None if not written else written[0] if len(written) == 1 else written


def plain_labels(labels: Labels | None) -> Any:
    """Labels as a recipe writes them: null, a list of names, or a mapping."""
    if labels is None:
        return None
    if labels.things is None and labels.category_ids is None:
        return list(labels.names)
    ids = {} if labels.category_ids is None else {"category_ids": list(labels.category_ids)}
    if labels.things is None:
        return {"names": list(labels.names), **ids}
    # A name that two classes share does not identify a class; its number does.
    unique = len(set(labels.names)) == len(labels.names)
    things = [labels.names[number] if unique else number for number in sorted(labels.things)]
    return {"names": list(labels.names), "things": things, **ids}
