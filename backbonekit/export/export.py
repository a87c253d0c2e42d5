"""A composed model as one file that runs without backbonekit."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.embed import check_pool
from backbonekit.assembly.inference import evaluating, noise_size
from backbonekit.contract.pooling import Pool
from backbonekit.contract.predictions import BoxQueries
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, RecipeError, StorageError, nearest
from backbonekit.export.decoding import SETS, Decoder, decoder_of
from backbonekit.export.exportable import Exportable
from backbonekit.export.input_size import fixed_processing, free_processing
from backbonekit.export.metadata import ExportedMetadata, metadata_of
from backbonekit.export.onnx_session import OnnxSession
from backbonekit.export.onnx_writing import require_onnx, write_onnx
from backbonekit.export.outputs import check_kind
from backbonekit.export.shapes import Shape, shapes_of
from backbonekit.export.verify import largest_difference
from backbonekit.postprocessing.results import default_task
from backbonekit.weights.untrusted_files import user_path

Format = Literal["torch", "onnx"]
SUFFIXES: dict[str, Format] = {".pt2": "torch", ".onnx": "onnx"}
OTHER_SIZE = (64, 96)  # pixels added to height and width, for the second size that free sizes are verified with
BATCHES = (1, 2, 3)  # images of the inputs that file and model are compared on
_TRACED_BATCH = 2  # tracing treats 1 as a size that never changes
_SET_OF_QUERIES = ("class_logits", "boxes_cxcywh")


@dataclass(frozen=True, slots=True)
class Export:
    """The exported file. `inputs`, `outputs`: shapes by name; a dimension of free size is a word, such as "height".
    `difference`: the largest between the outputs of file and model, relative to the largest value of an output, on
    batches of 1, 2 and 3 images. `processing`: how images are prepared for the file, which for a file of one size
    can be other than the model's."""

    path: Path
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    difference: float
    processing: Processing


def export_model(
    model: ComposedModel,
    path: str | Path,
    *,
    format: Format | None = None,
    size: tuple[int, int] | None = None,
    free_size: bool = False,
    padded: bool = False,
    decode: bool = False,
    task: str | None = None,
    threshold: float | None = None,
    pool: Pool | None = None,
) -> Export:
    """Writes a model as an ONNX file or a torch.export program. The file is read back, run and compared with the model
    before it takes its name; one that differs is not written.

    `path`: a file that ends in .onnx or .pt2, or a folder, in which `model.onnx` or `model.pt2` is written; an existing
    file is replaced. The file needs onnxruntime or torch alone: `torch.export.load(path).module()(pixel_values)`
    returns a dict of tensors. It contains labels, processing and recipe: under `backbonekit` in the ONNX file's
    metadata, in `metadata.json` and `recipe.json` of the program.
    `format`: torch or onnx; by default the path's, and torch for a folder.
    `size`: (height, width) of the input in pixels; by default the size of the recipe's processing.
    `free_size`: accept any height and width, where the architecture allows it; without it, only `size`. Tracing with
    free sizes is very slow for architectures that cut feature maps into windows (Swin).
    `padded`: add a second input `pixel_mask`, for batches of images of different sizes. The batch size is always free.
    `decode`: the file returns answers in pixels of its input (segmentation, scores, labels, boxes_xyxy, masks, depth,
    keypoints) in place of logits. `task`: what a decoded prediction is read as, semantic or instance for masks.
    `threshold`: the lowest score that `predict` keeps, written into the metadata (0.5 for boxes and masks).
    `pool`: cls, mean, max or gem: the file returns the vectors of `model.embed(images, pool=...)`, `features` [batch,
    channels], or `features.LEVEL` of each of several levels, in place of predictions or maps.

    Raises ContractError where the model cannot be exported this way or the file differs, StorageError where the file
    cannot be written.
    """
    chosen = _format(user_path(path), format)
    target = _target(user_path(path), chosen)
    if task is not None and not decode:
        raise RecipeError(f"export: task={task!r} says how a prediction is decoded. The fix: decode=True with it.")
    if pool is not None:
        _check_pool(model, pool, decode or threshold is not None)
    if threshold is not None and not 0 <= threshold <= 1:
        raise RecipeError(f"export: threshold={threshold} must be a number from 0 to 1.")
    for name in model.tasks if pool is None else ():
        check_kind(model.prediction_kind(name))
    if chosen == "onnx":
        require_onnx()
        if next(iter(model.parameters())).dtype == torch.bfloat16:
            raise ContractError(
                "export: onnxruntime runs no model in bfloat16 on the CPU. The fix: model.float() or model.half()."
            )
    height, width = size or noise_size(model)
    processing = model.processor.processing
    if free_size:
        processing = free_processing(processing, padded=padded)
    else:
        processing = fixed_processing(processing, (height, width), padded=padded)
    decoders = _decoders(model, task) if decode else {}
    metadata = metadata_of(
        model, processing, {name: one.reading for name, one in decoders.items()}, threshold, predicts=pool is None
    )
    if free_size and height == width:
        width += OTHER_SIZE[1]  # on a square input, tracing treats height and width as the same number
    exportable = Exportable(model, decoders, pool)
    with evaluating(model):
        program = _traced(exportable, _inputs(model, _TRACED_BATCH, height, width, padded), free_size)
        inputs, outputs = shapes_of(program)
        if free_size:
            _require_free(inputs["pixel_values"])
        tried = [_inputs(model, count, height, width, padded) for count in BATCHES]
        if free_size:
            other_height, other_width = height + OTHER_SIZE[0], width + OTHER_SIZE[1]
            tried += [_inputs(model, 2, other_height, side, padded) for side in (other_width, other_height)]

        def compared(temporary: Path) -> float:
            if chosen == "torch":
                _save_program(program, metadata, temporary)
                call = torch.export.load(temporary).module()
            else:
                write_onnx(program, tuple(outputs), metadata, temporary)
                call = _on_device(OnnxSession(temporary), model)
            return largest_difference(call, exportable, tried, [] if pool else _sets(model, decoders))

        difference = _published(target, compared)
    return Export(target, inputs, outputs, difference, processing)


def _format(path: Path, given: Format | None) -> Format:
    if given is not None and given not in get_args(Format):
        raise RecipeError(f"export: no format {given!r}; {nearest(str(given), get_args(Format))}")
    by_path = SUFFIXES.get(path.suffix.lower())
    if given is not None and by_path not in (None, given):
        raise RecipeError(f"export: format={given!r} and {path.name} are two formats; leave format out.")
    return given or by_path or "torch"


def _check_pool(model: ComposedModel, pool: str, has_predictions: bool) -> None:
    check_pool(model, pool)
    if pool == "none":
        raise RecipeError("export: pool=none is what a model without a head is exported as. The fix: leave pool out.")
    if has_predictions:
        raise RecipeError(f"export: pool={pool} returns no prediction. The fix: leave decode, task and threshold out.")


def _target(path: Path, format: Format) -> Path:
    suffix = next(suffix for suffix, one in SUFFIXES.items() if one == format)
    if path.suffix.lower() == suffix:
        return path
    if path.suffix and not path.is_dir():
        raise StorageError(f"export: {path} must end in .onnx or .pt2, or be a folder.")
    return path / f"model{suffix}"


def _decoders(model: ComposedModel, task: str | None) -> dict[str, Decoder]:
    """One for each task that has a head."""
    decoders = {}
    for name in model.tasks:
        kind, scoring = model.prediction_kind(name), model.scoring(name)
        if kind is None or scoring is None:
            raise ContractError("export: a model without a head predicts nothing to decode. The fix: decode=False.")
        labels = model.task_labels(name)
        reading = task if task is not None and len(model.tasks) == 1 else default_task(kind, labels)
        things = None if labels is None else labels.things or None
        decoders[name] = decoder_of(kind, reading, scoring, model.processor.ignore_label_of(name), things)
    if task is not None and len(decoders) > 1:
        raise RecipeError(f"export: task={task!r} is for a model of one task; this one has {', '.join(decoders)}.")
    return decoders


def _sets(model: ComposedModel, decoders: dict[str, Decoder]) -> list[list[str]]:
    """The outputs whose order along the second dimension does not count."""
    sets = []
    for name in model.tasks:
        prefix = f"{name}." if name else ""
        if name in decoders:
            fields = SETS.get((decoders[name].kind, decoders[name].reading), ())
        else:
            fields = _SET_OF_QUERIES if model.prediction_kind(name) is BoxQueries else ()
        if fields:
            sets.append([f"{prefix}{field}" for field in fields])
    return sets


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


def _save_program(program: ExportedProgram, metadata: ExportedMetadata, path: Path) -> None:
    recipe = json.dumps(metadata.recipe, indent=2)
    torch.export.save(program, path, extra_files={"recipe.json": recipe, "metadata.json": metadata.to_json()})


def _on_device(session: OnnxSession, model: ComposedModel) -> Callable[..., dict[str, Tensor]]:
    """The session, with its outputs where the model's are."""
    device = next(iter(model.parameters())).device

    def call(*inputs: Tensor) -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in session(*inputs).items()}

    return call


def _published(target: Path, write: Callable[[Path], float]) -> float:
    """Lets `write` write a temporary file beside the target and renames it. Returns what `write` returned."""
    temporary = target.with_name(f".{uuid4().hex}.partial{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            difference = write(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"export: {target} could not be written: {error.strerror or error}.") from error
    return difference
