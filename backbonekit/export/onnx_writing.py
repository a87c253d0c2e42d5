"""A traced program as an ONNX file, with its metadata and with dimensions that have names."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from backbonekit.errors import ContractError, RecipeError
from backbonekit.export.metadata import KEY, ExportedMetadata
from backbonekit.export.shapes import in_words

MAX_BYTES = 2**31 - 1  # of a protobuf message; more would need a second file beside it


def require_onnx() -> None:
    """Raises RecipeError with the command that installs what is missing, before anything is traced."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise RecipeError(
                f"export: an ONNX file is written and checked with onnx, onnxscript and onnxruntime; {package} is "
                f"missing. The fix: pip install 'backbonekit[export]', or output=model.pt2, which needs torch alone."
            ) from error


def write_onnx(program: ExportedProgram, outputs: Sequence[str], metadata: ExportedMetadata, path: Path) -> None:
    """Raises ContractError where ONNX has no operation for one of the model's."""
    from onnxscript import ir

    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > MAX_BYTES:
        raise ContractError(
            f"export: the weights have {size / 1e9:.1f} GB, and more than 2 GB are not written as ONNX. The fix: "
            f"output=model.pt2, or a model in float16."
        )
    _copy_before_views(program)
    try:
        with _quiet():
            converted: Any = torch.onnx.export(program, dynamo=True, verbose=False, output_names=list(outputs))
    except Exception as error:  # conversion raises errors of every kind
        cause = error.__cause__ or error
        reason = str(cause).strip().partition("\n")[0]
        raise ContractError(
            f"export: the program has no ONNX form: {type(cause).__name__}: {reason}. The fix: output=model.pt2."
        ) from error
    model = converted.model
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is not None:
            value.shape = ir.Shape(
                [side if isinstance(side, int) else in_words(str(side), program) for side in value.shape]
            )
    model.metadata_props[KEY] = metadata.to_json()
    ir.save(model, path)


def _copy_before_views(program: ExportedProgram) -> None:
    """The converter replaces a reshape by a view where the layout of the traced tensor allows one. It then computes
    attention in another way, whose result has another layout (Swin with padded windows), and refuses the view. After a
    copy every view is allowed; in ONNX, whose tensors have no layout, the copy is nothing."""
    aten = torch.ops.aten
    for node in list(program.graph.nodes):
        if node.target not in (aten.view.default, aten.reshape.default):
            continue
        (moved, *_) = node.args
        if moved.target not in (aten.transpose.int, aten.permute.default):
            continue
        with program.graph.inserting_before(node):
            copied = program.graph.call_function(
                aten.clone.default, (moved,), {"memory_format": torch.contiguous_format}
            )
        copied.meta = dict(moved.meta)
        node.replace_input_with(moved, copied)
    program.graph_module.recompile()


@contextmanager
def _quiet() -> Iterator[None]:
    """The converter notes what it does by warnings and in logs, none of which a user can act on."""
    noisy = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
