"""The arguments of a drawing: bands=, num_names=, legend=."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbonekit.cli.images import read_bands

if TYPE_CHECKING:
    from backbonekit.weights.weight_report import WeightReport

DRAWN_WITH = ("bands", "num_names", "legend")


def drawing_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with bands=, and which arguments have no effect without output=."""
    faults = []
    if "bands" in literals and read_bands(literals["bands"]) is None:
        faults.append(f"bands={literals['bands']}: one or three numbers from 0 with commas, as bands=3,2,1.")
    idle = [f"{name}=" for name in DRAWN_WITH if name in literals and "output" not in literals]
    if idle:
        faults.append(f"{', '.join(idle)}: changes the drawing; give output=FILE.png too.")
    return faults


def drawing_options(literals: Mapping[str, str], report: "WeightReport | None") -> dict[str, Any]:
    """The options of `draw`, with a stamp where weights are random."""
    from backbonekit.visualization.text import NUM_NAMES

    return {
        "bands": read_bands(literals["bands"]) if "bands" in literals else None,
        "num_names": int(literals.get("num_names", NUM_NAMES)),
        "legend": literals.get("legend") == "true",
        "stamp": None if report is None else report.warning,
    }
