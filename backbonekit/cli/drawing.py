"""The arguments of a drawing: bands=, num_names=, legend=."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from backbonekit.cli.images import read_bands

if TYPE_CHECKING:
    from backbonekit.weights.weight_report import WeightReport

_MOST_NAMES = 10_000
DRAWN_WITH = ("bands", "num_names", "legend")


def drawing_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with the arguments of a drawing, or has no effect without output=."""
    faults = []
    if "bands" in literals and read_bands(literals["bands"]) is None:
        faults.append(f"bands={literals['bands']}: one or three numbers from 0 with commas, as bands=3,2,1.")
    names = literals.get("num_names", "0")
    if not (names.isdecimal() and int(names) <= _MOST_NAMES):
        faults.append(f"num_names={names}: must be a whole number from 0 to {_MOST_NAMES:,}.")
    if literals.get("legend", "false") not in ("true", "false"):
        faults.append(f"legend={literals['legend']}: must be true or false.")
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
