"""Runs a model once and describes its wiring: every part, what enters and leaves it, parameters, FLOPs, seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating
from backbonekit.assembly.work import work_counter
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.predictions import ModelOutput, Prediction


@dataclass(slots=True)
class MapRow:
    """One map that leaves a part. `shape` as it was, batch first."""

    name: str
    channels: int
    stride: float | None
    shape: tuple[int, ...]


@dataclass(slots=True)
class PartRow:
    """One part. `flops`: of its forward, a multiply-add counting two. `seconds`: wall clock."""

    path: str
    name: str
    receives: list[MapRow]
    returns: list[MapRow]
    parameters: int
    flops: int = 0
    seconds: float = 0.0


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


def describe(
    model: ComposedModel, pixel_values: Tensor, pixel_mask: Tensor | None = None
) -> tuple[Description, ModelOutput]:
    """One forward in inference mode, measured part by part. `pixel_values`: [batch, channels, height, width].

    Returns the description and the output. Every module keeps its mode.
    """
    description = Description(input_shape=tuple(pixel_values.shape))
    if model.weight_report is not None:
        description.weights = [asdict(source) for source in model.weight_report.sources]
        description.notes = list(model.weight_report.notes)
    counter = work_counter()
    with evaluating(model), torch.inference_mode(), counter, _measured(model, description, counter):
        output = model(pixel_values, pixel_mask)
    return description, output


@contextmanager
def _measured(model: ComposedModel, description: Description, counter: FlopCounterMode) -> Iterator[None]:
    handles = []
    started: dict[str, tuple[float, int]] = {}
    for path, name, part in _parts(model):
        row = PartRow(path, name, [], [], parameters=sum(p.numel() for p in part.parameters()))
        description.parts.append(row)

        def before(_module: nn.Module, arguments: tuple[Any, ...], path: str = path) -> None:
            started[path] = (time.perf_counter(), counter.get_total_flops())

        def after(
            module: nn.Module, arguments: tuple[Any, ...], result: Any, path: str = path, row: PartRow = row
        ) -> None:
            _synchronise(arguments[0])
            since, flops = started[path]
            row.seconds += time.perf_counter() - since
            row.flops += counter.get_total_flops() - flops
            row.receives = _rows_in(model, path, arguments[0])
            row.returns = _rows_out(module, result)

        handles.append(part.register_forward_pre_hook(before))
        handles.append(part.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _parts(model: ComposedModel) -> Iterator[tuple[str, str, nn.Module]]:
    recipe = model.recipe
    yield "backbone", recipe.backbone.name or str((recipe.backbone.config or {}).get("model_type")), model.backbone
    for position, (neck, part) in enumerate(zip(model.shared_neck, recipe.shared_neck, strict=True)):
        yield f"shared_neck.{position}", part.name, neck
    for name, task in model.tasks.items():
        modules, task_recipe = task.modules(model), recipe.tasks[name]
        dot = f".{name}" if name else ""
        for position, (neck, part) in enumerate(zip(modules.neck, task_recipe.neck, strict=True)):
            yield f"neck{dot}.{position}", part.name, neck
        if modules.head is not None and task_recipe.head is not None:
            yield f"head{dot}", task_recipe.head.name, modules.head


def _synchronise(reference: Any) -> None:
    tensor = reference.maps[0] if isinstance(reference, FeatureMaps) else reference
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def _rows_in(model: ComposedModel, path: str, given: Any) -> list[MapRow]:
    if isinstance(given, Tensor):
        return [MapRow("image", given.shape[1], 1, tuple(given.shape))]
    *above, last = path.split(".")
    published: FeaturePyramid
    features: FeaturePyramid = model.backbone.features  # type: ignore[assignment]
    shared = list(model.shared_neck)
    if above == ["shared_neck"]:
        levels = tuple(features.levels[level] for level in model.shared_levels)
        return _rows(shared[int(last) - 1].features if int(last) else FeaturePyramid(levels), given)  # type: ignore[arg-type]
    name = above[1] if len(above) > 1 else (last if above and above[0] == "head" else "")
    task = model.tasks[name]
    necks = list(task.modules(model).neck)
    position = int(last) if last.isdigit() else len(necks)
    if position:
        published = necks[position - 1].features  # type: ignore[assignment]
    else:
        entering: FeaturePyramid = shared[-1].features if shared else features  # type: ignore[assignment]
        published = replace(entering, levels=tuple(entering.levels[level] for level in task.levels))
    return _rows(published, given)


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
