"""An ONNX file that somebody else may have written, opened in onnxruntime: checked before anything of it runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.export.metadata import KEY
from backbonekit.export.onnx_writing import MAX_BYTES
from backbonekit.weights.untrusted_files import read_regular

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(bool)": np.bool_}
_MAX_NESTING = 16  # graphs inside operations
_INPUTS = ("pixel_values", "pixel_mask")


class OnnxSession:
    """Maps `pixel_values` (and `pixel_mask`, of a file that takes one) to tensors by name, on the CPU.

    The file is data: everything is read from the one file, of at most 2 GB, never from another that it names. A graph
    can still be made to compute for long or to fill the memory; run files of strangers in a process with limits.
    """

    def __init__(self, path: Path) -> None:
        """Raises StorageError for a file that is none of ours, RecipeError where onnxruntime is missing."""
        onnx, runtime = _packages()
        content = read_regular(path, limit=MAX_BYTES)
        self.shown = str(path)
        self.metadata = _checked(onnx, content, self.shown)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # what is wrong is raised, not also printed
        try:
            # From the bytes that were checked: the file may be another one by now.
            self._session: Any = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no base of their own
            raise StorageError(f"{path}: onnxruntime refuses the file: {_reason(error)}") from error
        self._inputs = {given.name: given for given in self._session.get_inputs()}
        self._outputs = [given.name for given in self._session.get_outputs()]
        self._check_inputs()

    def _check_inputs(self) -> None:
        known = all(name in _INPUTS and given.type in _TYPES for name, given in self._inputs.items())
        pixel_values = self._inputs.get("pixel_values")
        if not known or pixel_values is None or len(pixel_values.shape) != 4:
            listed = ", ".join(f"{name[:40]} {given.type}" for name, given in list(self._inputs.items())[:5])
            raise StorageError(
                f"{self.shown}: has the inputs {listed}; pixel_values [batch, channels, height, width] and perhaps "
                f"pixel_mask are required."
            )

    @property
    def channels(self) -> int | None:
        """Of an input image; None where the file does not say."""
        channels = self._inputs["pixel_values"].shape[1]
        return channels if isinstance(channels, int) else None

    @property
    def takes_mask(self) -> bool:
        return "pixel_mask" in self._inputs

    def __call__(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Raises ContractError for an input that the file does not accept."""
        if pixel_mask is not None and not self.takes_mask:
            raise ContractError(
                f"{self.shown} takes no mask, so images of different sizes cannot be padded together. The fix: "
                f"batch_size=1, or export the model with padded=True."
            )
        given = {"pixel_values": pixel_values}
        if self.takes_mask:
            batch, _, height, width = pixel_values.shape
            given["pixel_mask"] = torch.ones(batch, height, width) if pixel_mask is None else pixel_mask
        feeds = {name: tensor.cpu().numpy().astype(_TYPES[self._inputs[name].type]) for name, tensor in given.items()}
        try:
            found = self._session.run(self._outputs, feeds)
        except Exception as error:
            raise ContractError(
                f"{self.shown}: onnxruntime refuses an input of shape {list(pixel_values.shape)}: {_reason(error)}"
            ) from error
        tensors = zip(self._outputs, found, strict=True)
        return {name: torch.from_numpy(array) for name, array in tensors if isinstance(array, np.ndarray)}


def _packages() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise RecipeError(
            f"an ONNX file runs in onnxruntime; {error.name} is missing. The fix: pip install 'backbonekit[export]'."
        ) from error
    return onnx, onnxruntime


def _checked(onnx: Any, content: bytes, shown: str) -> str:
    """The text of our metadata. Raises StorageError for what is no ONNX file, none of ours, or names other files."""
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors
        raise StorageError(f"{shown} is no ONNX file: {_reason(error)}") from error
    for tensor in _tensors(onnx, model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise StorageError(
                f"{shown}: the tensor {tensor.name[:80]!r} is in another file, and no other file is read. The fix: "
                f"export the model again, or save it with onnx.save_model(model, path) as one file."
            )
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if len(found) != 1:
        raise StorageError(
            f"{shown} holds no metadata of backbonekit, which say how images are prepared and outputs are read. The "
            f"fix: write the file with `backbonekit export`."
        )
    return found[0]


def _tensors(onnx: Any, model: Any) -> Iterator[Any]:
    """Every tensor that a file stores: of its graph, of graphs inside operations, and of its functions."""
    yield from _of_graph(onnx, model.graph, 0)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(onnx, node, 0)
    for training in model.training_info:
        yield from _of_graph(onnx, training.initialization, 0)
        yield from _of_graph(onnx, training.algorithm, 0)


def _of_graph(onnx: Any, graph: Any, depth: int) -> Iterator[Any]:
    if depth > _MAX_NESTING:
        raise StorageError(f"the ONNX file nests graphs more than {_MAX_NESTING} deep, which no model does.")
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(onnx, node, depth)


def _of_node(onnx: Any, node: Any, depth: int) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _of_graph(onnx, graph, depth + 1)


def _reason(error: Exception) -> str:
    """The first line of a message, without the paths of the library's sources."""
    line = str(error).strip().partition("\n")[0]
    return f"{line[:500]}."
