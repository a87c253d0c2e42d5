"""`report=FILE.html` of the verbs that build, train and measure."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backbonekit.cli.text import printable

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.assembly.describe import Description
    from backbonekit.assembly.report import Findings


def report_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with report=."""
    report = literals.get("report")
    if report is None or Path(report).suffix.lower() in (".html", ".htm"):
        return []
    return [f"report={report}: must end in .html."]


def write_report(
    path: str, model: "ComposedModel", findings: "Findings", description: "Description | None" = None
) -> str:
    """Writes the page and returns a line that says so. `description`: of the model run before; None runs it once."""
    from backbonekit.assembly.describe import describe
    from backbonekit.assembly.inference import sample_input
    from backbonekit.assembly.report import report_html
    from backbonekit.postprocessing.writing import write_file

    if description is None:
        description, _ = describe(model, *sample_input(model, image=findings.image))
    write_file(path, report_html(model, description, findings).encode())
    return printable(f"report: {path}")
