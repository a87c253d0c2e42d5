"""The feature maps of a backbone of transformers, found on the meta device: channels, strides, dependent parameters."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.contract.features import Level
from backbonekit.errors import ContractError, RecipeError
from backbonekit.weights.budget import counted, within_memory
from backbonekit.weights.private_random import seeded

# Builds a body that returns the maps at some indices; called on the meta device.
MakeBody = Callable[[Sequence[int]], nn.Module]
_Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of `probe`.

    `levels`, `forbidden`: as in a blueprint. `fixed_size`, `grid`: as in `TransformersBackbone`.

    `device`: where it runs without weights: meta, or cpu for the few that create tensors in forward. `num_bytes`: of
    its parameters and buffers.
    """

    levels: tuple[Level, ...]
    forbidden: frozenset[int]
    fixed_size: _Size | None
    grid: _Size | None
    device: str
    num_bytes: int


def probe(make_body: MakeBody, stage_names: Sequence[str], channels: int, size: _Size, name: str) -> Probed:
    """The levels, found by forward passes at the configuration's image size and at twice that. Raises ContractError."""
    every = tuple(range(len(stage_names)))
    forbidden: frozenset[int] = frozenset()
    device = "meta"
    try:
        body, shapes, device, num_bytes = _try(make_body, every, channels, size)
    except RecipeError:
        raise
    except Exception as error:  # whatever its modules raise
        # MaskFormer's Swin lists a stem that it never returns.
        try:
            body, shapes, device, num_bytes = _try(make_body, every[1:], channels, size)
        except Exception:
            raise ContractError(
                f"transformers cannot run {name} on images of {channels} channels and {size[0]} x {size[1]} pixels:"
                f" {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from error
        forbidden = frozenset({0})
        shapes = [shapes[0], *shapes]
    larger = (2 * size[0], 2 * size[1])
    try:
        larger_shapes = _shapes(body, channels, larger, device)
        if forbidden:
            larger_shapes = [larger_shapes[0], *larger_shapes]
    except Exception:
        larger_shapes = None
    grid = None
    if any(len(shape) == 3 for shape in shapes):
        if larger_shapes is not None or not (grid := _grid(shapes[0][1], size)):
            raise ContractError(f"{name} returns tokens and not maps; use another backbone.")
        shapes = [(shape[0], shape[2], *grid) for shape in shapes]
    levels = tuple(
        Level(stage, shape[1], _stride(shape, None if larger_shapes is None else larger_shapes[index], size))
        for index, (stage, shape) in enumerate(zip(stage_names, shapes, strict=True))
    )
    return Probed(levels, forbidden, size if larger_shapes is None else None, grid, device, num_bytes)


def first_dependents(
    make_body: MakeBody, indices: Sequence[int], channels: int, size: _Size, device: str
) -> dict[str, int]:
    """For each parameter that some map depends on: the first of `indices` whose map does."""
    body, _ = _body(make_body, indices, device)
    with torch.device(device), torch.enable_grad():
        # The image requires a gradient, so that there is a graph where it is itself a map.
        maps = body(torch.zeros(1, channels, *size, requires_grad=True)).feature_maps
    names = {id(parameter): name for name, parameter in body.named_parameters()}
    found: dict[str, int] = {}
    seen: set[Any] = set()
    for index, each in zip(indices, maps, strict=True):
        waiting = [each.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            variable = vars(type(node)).get("variable") and node.variable
            if isinstance(variable, Tensor) and id(variable) in names:
                found[names[id(variable)]] = index
            waiting.extend(following for following, _ in node.next_functions)
    return found


def _try(
    make_body: MakeBody, indices: Sequence[int], channels: int, size: _Size
) -> tuple[nn.Module, list[tuple[int, ...]], str, int]:
    num_bytes = 0
    try:
        body, num_bytes = _body(make_body, indices, "meta")
        return body, _shapes(body, channels, size, "meta"), "meta", num_bytes
    except RuntimeError as error:
        if "meta" not in str(error):
            raise
    with within_memory(num_bytes):
        body, _ = _body(make_body, indices, "cpu")
    return body, _shapes(body, channels, size, "cpu"), "cpu", num_bytes


def _body(make_body: MakeBody, indices: Sequence[int], device: str) -> tuple[nn.Module, int]:
    """The body in evaluation mode, and the bytes of its parameters and buffers."""
    # The random values drawn here are discarded, so the global generator keeps its state.
    with torch.device(device), seeded(0), counted() as count:
        return make_body(indices).eval(), count.num_bytes


def _shapes(body: nn.Module, channels: int, size: _Size, device: str) -> list[tuple[int, ...]]:
    # The context sets the device too, because some backbones create tensors in forward.
    with torch.device(device), torch.no_grad():
        return [tuple(each.shape) for each in body(torch.zeros(1, channels, *size)).feature_maps]


def _grid(tokens: int, size: _Size) -> _Size | None:
    """Rows and columns of that many tokens in the image's own proportions, or None."""
    rows = round((tokens * size[0] / size[1]) ** 0.5)
    return (rows, tokens // rows) if rows and tokens % rows == 0 else None


def _stride(shape: tuple[int, ...], larger: tuple[int, ...] | None, size: _Size) -> float:
    """The stride in pixels, the larger of both sides; from the difference of two sizes, so rounding has no effect."""
    strides = []
    for axis, length in enumerate(size):
        steps = shape[2 + axis] if larger is None else larger[2 + axis] - shape[2 + axis]
        strides.append(length / max(steps, 1))
    return float(max(strides))
