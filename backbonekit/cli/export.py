"""`backbonekit export`: a model as one ONNX file or torch program, compared with the model before it is kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import help_text, import_parts, parse_arguments
from backbonekit.cli.messages import note
from backbonekit.cli.start import published_overrides, start_faults, start_model, weights_note
from backbonekit.cli.text import printable, table
from backbonekit.contract.pooling import POOLS
from backbonekit.contract.progress import waiting
from backbonekit.errors import RecipeError, nearest

if TYPE_CHECKING:
    from backbonekit.export.export import Export

_SWITCHES = ("free_size", "padded", "decode")
KNOWN = (
    *("recipe", "weights", "revision", "output", "size", *_SWITCHES, "task", "threshold", "pool", "format"),
    *("device", "seed"),
)
_SUFFIXES = (".onnx", ".pt2")
USAGE = """usage: backbonekit export recipe=FOLDER output=FILE.onnx [key=value ...]

examples:
  backbonekit export recipe=runs/m1 output=model.onnx
  backbonekit export recipe=runs/m1 output=model.onnx free_size=true
  backbonekit export recipe=runs/m1 output=model.onnx decode=true task=semantic
  backbonekit export recipe=runs/m1 output=model.pt2
  backbonekit export backbone=facebook/dinov2-small pool=cls output=features.onnx

Then `backbonekit predict recipe=model.onnx image=image.jpg` runs the file without building the model. With pool= the
file returns the vectors of `backbonekit features`, of the same published weights. Any key of the recipe can be set, as
in `build`. An existing file is replaced. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  --import MODULE   load a module that registers parts of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    literals = arguments.literals
    faults = start_faults(arguments, verb="export", does="writes one model") + _faults(literals)
    if faults:
        raise RecipeError(faults)
    import_parts(arguments.imports)
    model = start_model(arguments, published_overrides(arguments) if "pool" in literals else arguments.overrides)
    warning = weights_note(model.weight_report)
    if warning:
        note(warning)
    with waiting("writing the file and comparing it with the model"):
        from backbonekit.export.export import export_model

        export = export_model(
            model,
            literals["output"],
            size=_size(literals["size"]) if "size" in literals else None,
            free_size=literals.get("free_size") == "true",
            padded=literals.get("padded") == "true",
            decode=literals.get("decode") == "true",
            task=literals.get("task"),
            threshold=float(literals["threshold"]) if "threshold" in literals else None,
            pool=literals.get("pool"),  # type: ignore[arg-type] - checked
        )
    if literals.get("format") == "json":
        print(json.dumps(_plain(export)))
    else:
        print(printable(_text(export)))
    if export.processing != model.processor.processing:
        note("the file accepts one size, and its images are prepared for that: its processing is not the model's")
    return 0


def _faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with the arguments of this verb alone."""
    faults = []
    output = literals.get("output")
    if not output:
        faults.append("no file to write: give output=FILE.onnx or output=FILE.pt2.")
    elif Path(output).suffix.lower() not in _SUFFIXES and not Path(output).is_dir():
        faults.append(f"output={output}: must end in .onnx or .pt2.")
    if "size" in literals and _size(literals["size"]) is None:
        faults.append(f"size={literals['size']}: height and width in pixels, as size=512,512.")
    if literals.get("pool", "mean") not in POOLS:
        faults.append(f"pool={literals['pool']}: no pooling is called so; {nearest(literals['pool'], POOLS)}")
    return faults


def _size(text: str) -> tuple[int, int] | None:
    words = [word.strip() for word in text.strip("[]").split(",")]
    if len(words) != 2 or not all(word.isdecimal() and 1 <= int(word) <= 16_384 for word in words):
        return None
    return int(words[0]), int(words[1])


def _plain(export: "Export") -> dict[str, Any]:
    shapes = {"inputs": export.inputs, "outputs": export.outputs}
    plain = {kind: {name: list(shape) for name, shape in each.items()} for kind, each in shapes.items()}
    return {"path": str(export.path), **plain, "difference": export.difference}


def _text(export: "Export") -> str:
    rows = [("input", name, _shape(shape)) for name, shape in export.inputs.items()]
    rows += [("output", name, _shape(shape)) for name, shape in export.outputs.items()]
    lines = [table(("", "name", "shape"), rows), ""]
    lines.append(
        f"largest difference to the model: {export.difference:.1e} of an output's largest value, on batches of 1, 2 and"
        " 3 images"
    )
    return "\n".join([*lines, f"written to {export.path}"])


def _shape(shape: Sequence[int | str]) -> str:
    return " x ".join(map(str, shape))
