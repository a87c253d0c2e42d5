"""Writes the table of docs/export.md, or the rows of some recipes: `python docs/make_export.py [NAME ...]`.

Each recipe is exported to ONNX with random weights and compared with the model; a slow test does the same. All of them
take half an hour of one processor.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import backbonekit as bk
from backbonekit.errors import ContractError
from backbonekit.export.export import export_model
from backbonekit.recipe.compose import model_names

PAGE = Path(__file__).with_name("export.md")
HEADING = "## Every shipped recipe\n"
TEXT = """
With random weights, on a small canvas, written by `python docs/make_export.py`. **any size**: exported with
`free_size=True` and compared on three sizes; a size: exported for that size alone, for the reason given. The difference
is the largest of an output, relative to the output's largest value, rounded up to a power of ten. A slow test exports
all of them again.

| recipe | ONNX input | difference below | outputs |
|---|---|---|---|
"""
SMALL = (128, 160)  # pixels; a multiple of 32, and not square
# Of detectors whose coarsest map has a stride of 128: tracing treats a side of 1 as one that never changes.
COARSE = (256, 320)
PATCHES = (140, 168)  # the same for patches of 14 pixels
# What is not traced with free sizes, by a word in the name or the backbone of a recipe: the shifts and paddings of
# Swin's windows become conditions on both sides, and two small blocks took more than three minutes of a processor,
# where a fixed size takes seconds. Deformable attention at every level takes two to three minutes.
SLOW = {"swin": "tracing its windows with free sizes takes very long"}


@dataclass(frozen=True)
class Row:
    """`reason`: why a size is fixed, or why the recipe cannot be exported."""

    name: str
    is_exported: bool
    is_free: bool = False
    size: tuple[int, int] | None = None
    difference: float = 0.0
    outputs: tuple[str, ...] = ()
    reason: str = ""

    @property
    def verdict(self) -> str:
        """Which the test compares: differences vary with the machine."""
        if not self.is_exported:
            return f"not exported: {self.reason}"
        if self.is_free:
            return "any size"
        assert self.size is not None
        return f"{self.size[0]} x {self.size[1]}: {self.reason}"

    def line(self) -> str:
        bound = f"{10.0**power:.0e}" if self.is_exported and (power := _power(self.difference)) else "-"
        return f"| {self.name} | {self.verdict} | {bound} | {', '.join(self.outputs) or '-'} |\n"


def _power(difference: float) -> int:
    return next(power for power in range(-9, 1) if difference < 10.0**power)


def row(name: str) -> Row:
    """One recipe. Any exception that is not ours is raised."""
    model = spread(bk.build_model(name))
    size, reason = size_of(name, model.processor.processing)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if not reason:
            try:
                export = export_model(model, path, size=size, free_size=True)
                return Row(name, True, True, size, export.difference, tuple(export.outputs))
            except ContractError as error:
                reason = _reason(str(error))
        try:
            export = export_model(model, path, size=size)
        except ContractError as error:
            return Row(name, False, reason=_reason(str(error)))
        return Row(name, True, False, size, export.difference, tuple(export.outputs), reason)


def spread(model: torch.nn.Module) -> torch.nn.Module:
    """The model with other biases and scales: some start such that an output is the same everywhere, or 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.rand(parameter.shape, generator=generator)
    return model


def size_of(name: str, processing: object) -> tuple[tuple[int, int], str]:
    """A small size, and why it cannot be free where that is known without trying."""
    text = str(bk.compose_recipe(name).backbone.to_dict())
    if "dinov2" in text:
        return PATCHES, ""
    for word, reason in SLOW.items():
        if word in text or word in name:
            return SMALL, reason
    if name.startswith(("fcos_resnet", "retinanet")):
        return COARSE, ""
    if name.startswith("vitpose"):
        return (256, 192), ""
    return ((64, 64), "") if name.endswith("_digits") else (SMALL, "")


def _reason(message: str) -> str:
    text = " ".join(message.removeprefix("export: ").split()).partition(" The fix:")[0]
    return text.replace("|", "/")


def lines() -> dict[str, str]:
    """The rows of the page, by recipe."""
    table = PAGE.read_text(encoding="utf-8").partition(HEADING)[2]
    rows = [line for line in table.splitlines(keepends=True) if line.startswith("| ")][1:]
    return {line.split(" | ")[0].removeprefix("| "): line for line in rows}


def write(rows: dict[str, str]) -> None:
    before = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    text = before.rstrip("\n") + "\n\n" + HEADING + TEXT + "".join(rows[name] for name in sorted(rows))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for one in sys.argv[1:] or sorted(model_names()):
        line = row(one).line()
        sys.stdout.write(line)
        sys.stdout.flush()
        write({**{name: other for name, other in lines().items() if name in model_names()}, one: line})
