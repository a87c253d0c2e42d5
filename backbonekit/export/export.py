"""A composed model as one file that runs without backbonekit."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating, noise_size
from backbonekit.errors import ContractError, RecipeError, StorageError, nearest
from backbonekit.export.exportable import Exportable
from backbonekit.export.shapes import Shape, shapes_of
from backbonekit.export.verify import largest_difference

Format = Literal["torch"]
OTHER_SIZE = (64, 96)  # pixels added to height and width, for the second size that free sizes are verified with


@dataclass(frozen=True, slots=True)
class Export:
    """The exported file. `inputs`, `outputs`: shapes by name; a dimension of free size is a word, such as "height".
    `difference`: the largest between the outputs of file and model, relative to the largest value of an output."""

    path: Path
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    difference: float


def export_model(
    model: ComposedModel,
    path: str | Path,
    *,
    format: Format = "torch",
    size: tuple[int, int] | None = None,
    free_size: bool = False,
    padded: bool = False,
) -> Export:
    """Writes a model as a torch.export program. The file is read back and compared with the model first.

    `path`: a file that ends in .pt2, or a folder, in which `model.pt2` is written; an existing file is replaced. The
    file needs torch alone: `torch.export.load(path).module()(pixel_values)` returns a dict of tensors. It contains the
    recipe as `recipe.json`.
    `size`: (height, width) of the input in pixels; by default the size of the recipe's processing.
    `free_size`: accept any height and width, where the architecture allows it; without it, only `size`. Tracing with
    free sizes is very slow for architectures that cut feature maps into windows (Swin).
    `padded`: add a second input `pixel_mask`, for batches of images of different sizes. The batch size is always free.

    Raises ContractError where the model cannot be exported this way, StorageError where the file cannot be written.
    """
    if format not in get_args(Format):
        raise RecipeError(f"export: no format {format!r}; {nearest(str(format), get_args(Format))}")
    target = _target(Path(path))
    height, width = size or noise_size(model)
    if free_size and height == width:
        width += OTHER_SIZE[1]  # on a square input, tracing treats height and width as the same number
    exportable = Exportable(model)
    with evaluating(model):
        program = _traced(exportable, _inputs(model, 2, height, width, padded), free_size)
        inputs, outputs = shapes_of(program)
        if free_size:
            _require_free(inputs["pixel_values"])
        tried = [_inputs(model, count, height, width, padded) for count in (1, 3)]
        if free_size:
            other_height, other_width = height + OTHER_SIZE[0], width + OTHER_SIZE[1]
            tried += [_inputs(model, 2, other_height, side, padded) for side in (other_width, other_height)]
        difference = _write(program, exportable, tried, target)
    return Export(target, inputs, outputs, difference)


def _target(path: Path) -> Path:
    if path.suffix == ".pt2":
        return path
    if path.suffix and not path.is_dir():
        raise StorageError(f"export: {path} must end in .pt2 or be a folder.")
    return path / "model.pt2"


def _inputs(model: ComposedModel, count: int, height: int, width: int, padded: bool) -> tuple[Tensor, ...]:
    """Random images; with `padded` also a mask, in which the right quarter of the last image is padding."""
    first = next(iter(model.parameters()))
    generator = torch.Generator().manual_seed(count)
    noise = torch.randn(count, model.recipe.backbone.in_channels, height, width, generator=generator)
    pixel_values = noise.to(first.device, first.dtype)
    if not padded:
        return (pixel_values,)
    mask = torch.ones(count, height, width, dtype=torch.bool, device=first.device)
    mask[-1, :, width - width // 4 :] = False
    return pixel_values, mask


def _traced(exportable: Exportable, inputs: tuple[Tensor, ...], free_size: bool) -> ExportedProgram:
    sides = Dim.AUTO if free_size else Dim.STATIC
    pixel_values = {0: Dim.DYNAMIC, 1: Dim.STATIC, 2: sides, 3: sides}
    pixel_mask = {0: Dim.DYNAMIC, 1: sides, 2: sides}
    try:
        with torch.no_grad():
            return torch.export.export(
                exportable, inputs, dynamic_shapes=(pixel_values, pixel_mask)[: len(inputs)], strict=False
            )
    except Exception as error:  # tracing raises errors of every kind
        reason = str(error).strip().partition("\n")[0]
        raise ContractError(
            f"export: torch.export cannot trace this model{' with free sizes' if free_size else ''}: "
            f"{type(error).__name__}: {reason}" + (" The fix: free_size=False." if free_size else "")
        ) from error


def _require_free(shape: Shape) -> None:
    _, _, height, width = shape
    if isinstance(height, int) or isinstance(width, int) or height == width:
        raise ContractError(
            f"export: this architecture restricts the input size to {height} x {width}, so it cannot be free. The fix: "
            f"free_size=False, with size=(height, width)."
        )


def _write(program: ExportedProgram, exportable: Exportable, tried: list[tuple[Tensor, ...]], target: Path) -> float:
    """Writes a temporary file beside the target, compares it with the model and renames it. Returns the difference."""
    temporary = target.with_name(f".{uuid4().hex}.partial.pt2")
    recipe = json.dumps(exportable.model.recipe.to_dict(), indent=2)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.export.save(program, temporary, extra_files={"recipe.json": recipe})
            difference = largest_difference(torch.export.load(temporary).module(), exportable, tried)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"export: {target} could not be written: {error.strerror or error}.") from error
    return difference
