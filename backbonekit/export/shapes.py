"""Shapes of the inputs and outputs of an exported program; a dimension of free size is a word."""

import re

from torch import Tensor
from torch.export import ExportedProgram

Shape = tuple[int | str, ...]
SIDES = {"pixel_values": {0: "batch", 2: "height", 3: "width"}, "pixel_mask": {0: "batch", 1: "height", 2: "width"}}


def shapes_of(program: ExportedProgram) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Shapes of inputs and outputs by name, such as ("batch", 3, "height", "width")."""
    inputs = _inputs(program)
    words = _words(inputs)
    (returned,) = (node for node in program.graph.nodes if node.op == "output")
    returns = program.call_spec.out_spec
    assert returns is not None
    names = returns.context  # the keys of the dict that forward returns
    outputs = {name: node.meta["val"] for name, node in zip(names, returned.args[0], strict=True)}
    return _named(inputs, words), _named(outputs, words)


def in_words(dimension: str, program: ExportedProgram) -> str:
    """A dimension as the program calls it (`2*s77`), in the words of its inputs (`2*batch`)."""
    return _side(dimension, _words(_inputs(program)))  # type: ignore[return-value] - a text stays one


def _inputs(program: ExportedProgram) -> dict[str, Tensor]:
    kinds = {spec.arg.name: spec.kind.name for spec in program.graph_signature.input_specs}
    return {
        node.name: node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder" and kinds.get(node.name) == "USER_INPUT" and isinstance(node.meta["val"], Tensor)
    }


def _words(inputs: dict[str, Tensor]) -> dict[str, str]:
    # Dimensions that are always equal share the word of the first.
    words: dict[str, str] = {}
    for name, sides in SIDES.items():
        if name in inputs:
            for index, word in sides.items():
                words.setdefault(str(inputs[name].shape[index]), word)
    return words


def _named(tensors: dict[str, Tensor], words: dict[str, str]) -> dict[str, Shape]:
    return {name: tuple(_side(side, words) for side in tensor.shape) for name, tensor in tensors.items()}


def _side(side: object, words: dict[str, str]) -> int | str:
    if isinstance(side, int):
        return side
    return re.sub(r"\w+", lambda found: words.get(found.group(), found.group()), str(side))
