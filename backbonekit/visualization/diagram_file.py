"""A diagram as the content of a file, by its suffix."""

import io
from pathlib import PurePath

from backbonekit.errors import ContractError
from backbonekit.visualization.diagram import FORMATS, Diagram
from backbonekit.visualization.diagram_mermaid import diagram_mermaid
from backbonekit.visualization.diagram_png import diagram_image
from backbonekit.visualization.diagram_svg import diagram_svg


def diagram_bytes(diagram: Diagram, path: str | PurePath) -> bytes:
    """The content of a file of that name: SVG, PNG or Mermaid's text. Raises ContractError for another suffix."""
    suffix = PurePath(path).suffix.lower()
    if suffix == ".svg":
        return diagram_svg(diagram).encode()
    if suffix == ".mmd":
        return diagram_mermaid(diagram).encode()
    if suffix != ".png":
        raise ContractError(f"{path}: a diagram is written as {', '.join(FORMATS)}.")
    content = io.BytesIO()
    diagram_image(diagram).save(content, format="PNG")
    return content.getvalue()
