"""Writes docs/numbers.md: `python docs/make_numbers.py`. Parameters and multiply-adds of every shipped recipe, counted
on the meta device, beside those of its paper (docs/published_numbers.yaml). A test says when it is stale."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

import backbonekit as bk

TOLERANCE = 0.02
HEADER = """# The shipped recipes beside their papers

Parameters in millions; multiply-adds in billions, at the size that the paper counts them at. Ours are counted on the
meta device by torch's own counter: convolutions, matrix products and attention; norms, resizing and sampling are not
counted. A difference of more than 2 % has its reason beside it.

| recipe | parameters | published | multiply-adds | published | at | source | why it differs |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Count:
    """`parameters`: in millions. `multiply_adds`: in billions, or None where nothing is published to compare with."""

    parameters: float
    multiply_adds: float | None


def published() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(Path(__file__).with_name("published_numbers.yaml").read_text(encoding="utf-8"))


def recipes() -> list[str]:
    """Every named recipe that ships."""
    return sorted(path.stem for path in Path(__file__).parent.with_name("configs").glob("model/*.yaml"))


def count(name: str, size: list[int] | None) -> Count:
    """Builds a recipe without memory for weights and, where a size is given, runs it there."""
    with torch.device("meta"):
        model = bk.build_model(name)
        parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        if size is None:
            return Count(parameters, None)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, model.recipe.backbone.in_channels, *size))
    return Count(parameters, counter.get_total_flops() / 2e9)


def numbers_page() -> str:
    table = published()
    return HEADER + "".join(row(name, count(name, table[name].get("size")), table[name]) for name in recipes())


def row(name: str, ours: Count, theirs: dict[str, Any]) -> str:
    """A line of the table."""
    cells = (
        name,
        f"{ours.parameters:.2f}",
        _shown(theirs["parameters"]),
        "" if ours.multiply_adds is None else f"{ours.multiply_adds:.1f}",
        _shown(theirs.get("multiply_adds")),
        " x ".join(map(str, theirs.get("size", []))),
        theirs["source"].strip(),
        "; ".join(f"{what.replace('_', '-')}: {why}" for what, why in theirs.get("because", {}).items()),
    )
    return f"| {' | '.join(cells)} |\n"


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


if __name__ == "__main__":
    Path(__file__).with_name("numbers.md").write_text(numbers_page(), encoding="utf-8")
