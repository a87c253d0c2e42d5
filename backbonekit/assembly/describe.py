"""Runs a model once and describes its wiring: every part, what enters and leaves it, parameters, FLOPs, seconds."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating
from backbonekit.assembly.task import TaskModules
from backbonekit.assembly.work import work_counter
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.predictions import ModelOutput, Prediction
from backbonekit.registry.lookup import resolve


@dataclass(slots=True)
class MapRow:
    """One map that leaves a part. `shape` as it was, batch first; empty where the model was not run."""

    name: str
    channels: int
    stride: float | None
    shape: tuple[int, ...]


@dataclass(slots=True)
class PartRow:
    """One part. `flops`: of its forward, a multiply-add counting two. `seconds`: wall clock.

    `after`: the path of the part whose maps it receives; '' for the backbone. `inserted`: whether wiring put it in,
    where the recipe had none. Of a head, `prediction`: the kind of its prediction, `criterion`: what it learns from.
    """

    path: str
    name: str
    receives: list[MapRow]
    returns: list[MapRow]
    parameters: int
    flops: int = 0
    seconds: float = 0.0
    after: str = ""
    inserted: bool = False
    prediction: str | None = None
    criterion: str | None = None


@dataclass(slots=True)
class Description:
    """The wiring of a model on an input of `input_shape`."""

    input_shape: tuple[int, ...]
    parts: list[PartRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    weights: list[dict[str, Any]] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def flops(self) -> int:
        return sum(part.flops for part in self.parts)

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for scripts."""
        totals = {"parameters": self.parameters, "flops": self.flops, "seconds": round(self.seconds, 6)}
        return {**asdict(self), "totals": totals}


def outline(model: ComposedModel) -> Description:
    """The wiring of a model as its parts publish it, without running it: no shapes, no FLOPs, no seconds."""
    description = Description(input_shape=())
    if model.weight_report is not None:
        description.weights = [source.to_dict() for source in model.weight_report.sources]
        description.notes = list(model.weight_report.notes)
    description.parts = [row for row, _ in _parts(model)]
    return description


def describe(
    model: ComposedModel, pixel_values: Tensor, pixel_mask: Tensor | None = None
) -> tuple[Description, ModelOutput]:
    """One forward in inference mode, measured part by part. `pixel_values`: [batch, channels, height, width].

    Returns the description and the output. Every module keeps its mode.
    """
    description = outline(model)
    description.input_shape = tuple(pixel_values.shape)
    parts = list(_parts(model))
    description.parts = [row for row, _ in parts]
    counter = work_counter()
    with evaluating(model), torch.inference_mode(), counter, _measured(model, parts, counter):
        output = model(pixel_values, pixel_mask)
    return description, output


@contextmanager
def _measured(
    model: ComposedModel, parts: Sequence[tuple[PartRow, nn.Module]], counter: FlopCounterMode
) -> Iterator[None]:
    handles = []
    started: dict[str, tuple[float, int]] = {}
    for row, part in parts:

        def before(_module: nn.Module, arguments: tuple[Any, ...], path: str = row.path) -> None:
            started[path] = (time.perf_counter(), counter.get_total_flops())

        def after(module: nn.Module, arguments: tuple[Any, ...], result: Any, row: PartRow = row) -> None:
            _synchronise(arguments[0])
            since, flops = started[row.path]
            row.seconds += time.perf_counter() - since
            row.flops += counter.get_total_flops() - flops
            row.receives = _rows_in(model, row.path, arguments[0])
            row.returns = _rows_out(module, result)

        handles.append(part.register_forward_pre_hook(before))
        handles.append(part.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _parts(model: ComposedModel) -> Iterator[tuple[PartRow, nn.Module]]:
    """Every part in the order in which it runs, with what it publishes."""
    recipe, backbone = model.recipe, model.backbone
    published: FeaturePyramid = backbone.features  # type: ignore[assignment]
    row = _row("backbone", recipe.backbone.name or str((recipe.backbone.config or {}).get("model_type")), backbone)
    row.receives = [MapRow("image", recipe.backbone.in_channels, 1, ())]
    row.returns = _published(published)
    yield row, backbone
    last = row
    for position, (neck, part) in enumerate(zip(model.shared_neck, recipe.shared_neck, strict=True)):
        row = _row(f"shared_neck.{position}", part.name, neck, after=last.path)
        row.inserted = position in model.shared_inserted
        row.receives = _published(_entering(model, row.path))
        row.returns = _published(neck.features)  # type: ignore[arg-type]
        yield row, neck
        last = row
    for name, task in model.tasks.items():
        yield from _parts_of(model, name, task.modules(model), last)


def _parts_of(
    model: ComposedModel, name: str, modules: TaskModules, last: PartRow
) -> Iterator[tuple[PartRow, nn.Module]]:
    """The parts of a task. `last`: the part before its first one."""
    recipe, dot = model.recipe.tasks[name], f".{name}" if name else ""
    for position, (neck, part) in enumerate(zip(modules.neck, recipe.neck, strict=True)):
        row = _row(f"neck{dot}.{position}", part.name, neck, after=last.path)
        row.inserted = position in model.tasks[name].inserted
        row.receives = _published(_entering(model, row.path))
        row.returns = _published(neck.features)  # type: ignore[arg-type]
        yield row, neck
        last = row
    if modules.head is not None and recipe.head is not None:
        row = _row(f"head{dot}", recipe.head.name, modules.head, after=last.path)
        row.receives = _published(_entering(model, row.path))
        kind = model.prediction_kind(name)
        row.prediction = None if kind is None else kind.__name__
        default = resolve("head", recipe.head.name).criterion
        row.criterion = default if recipe.head.criterion is None else recipe.head.criterion.name
        yield row, modules.head


def _row(path: str, name: str, part: nn.Module, *, after: str = "") -> PartRow:
    return PartRow(path, name, [], [], parameters=sum(p.numel() for p in part.parameters()), after=after)


def _synchronise(reference: Any) -> None:
    tensor = reference.maps[0] if isinstance(reference, FeatureMaps) else reference
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def _rows_in(model: ComposedModel, path: str, given: Any) -> list[MapRow]:
    if isinstance(given, Tensor):
        return [MapRow("image", given.shape[1], 1, tuple(given.shape))]
    return _rows(_entering(model, path), given)


def _entering(model: ComposedModel, path: str) -> FeaturePyramid:
    """What enters the neck or head at `path`."""
    *above, last = path.split(".")
    features: FeaturePyramid = model.backbone.features  # type: ignore[assignment]
    shared = list(model.shared_neck)
    if above == ["shared_neck"]:
        levels = tuple(features.levels[level] for level in model.shared_levels)
        return shared[int(last) - 1].features if int(last) else FeaturePyramid(levels)  # type: ignore[return-value]
    name = above[1] if len(above) > 1 else (last if above and above[0] == "head" else "")
    task = model.tasks[name]
    necks = list(task.modules(model).neck)
    position = int(last) if last.isdigit() else len(necks)
    if position:
        return necks[position - 1].features  # type: ignore[return-value]
    entering: FeaturePyramid = shared[-1].features if shared else features  # type: ignore[assignment]
    return replace(entering, levels=tuple(entering.levels[level] for level in task.levels))


def _rows_out(module: nn.Module, result: Any) -> list[MapRow]:
    if isinstance(result, FeatureMaps):
        return _rows(module.features, result)  # type: ignore[arg-type]
    assert isinstance(result, Prediction)
    tensors: list[tuple[str, Tensor]] = []
    for name, value in result.items():
        if isinstance(value, Tensor):
            tensors.append((name, value))
        elif isinstance(value, tuple):  # by level
            tensors += [(f"{name}.{index}", one) for index, one in enumerate(value) if isinstance(one, Tensor)]
    return [MapRow(name, tensor.shape[min(1, tensor.dim() - 1)], None, tuple(tensor.shape)) for name, tensor in tensors]


def _rows(published: FeaturePyramid, maps: FeatureMaps) -> list[MapRow]:
    rows = [
        MapRow(level.name, tensor.shape[1], level.stride, tuple(tensor.shape))
        for level, tensor in zip(published.levels, maps.maps, strict=True)
    ]
    for name, tensor in maps.extras.items():
        rows.append(MapRow(name, tensor.shape[1], published.extras[name].stride, tuple(tensor.shape)))
    return rows


def _published(features: FeaturePyramid) -> list[MapRow]:
    rows = [MapRow(level.name, level.channels, level.stride, ()) for level in features.levels]
    return rows + [MapRow(name, level.channels, level.stride, ()) for name, level in features.extras.items()]
