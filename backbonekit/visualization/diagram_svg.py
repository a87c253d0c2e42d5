"""A diagram as SVG, with nothing outside the file."""

from xml.sax.saxutils import escape

from backbonekit.visualization.diagram import Diagram
from backbonekit.visualization.diagram_layout import Rectangle, Shape, Stroke, Words, layout

_FONTS = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif"
_LINE = "#6e7781"


def diagram_svg(diagram: Diagram) -> str:
    """One `svg` element of its own size on white; in a page it becomes no wider than what it stands in."""
    page = layout(diagram)
    shapes = "\n".join(_drawn(shape) for shape in page.shapes)
    names = ", ".join(box.title for box in diagram.boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.width:.0f}" height="{page.height:.0f}" '
        f'viewBox="0 0 {page.width:.0f} {page.height:.0f}" role="img" font-family="{_FONTS}" '
        f'style="max-width: 100%; height: auto">\n'
        f"<title>{_text(names)}</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{shapes}\n</svg>\n'
    )


def _drawn(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        dashes = ' stroke-dasharray="5 3"' if shape.dashed else ""
        return (
            f'<rect x="{shape.left:.1f}" y="{shape.top:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
            f'rx="{shape.radius:g}" fill="{shape.fill}" stroke="{shape.border}"{dashes}/>'
        )
    if isinstance(shape, Stroke):
        dashes = ' stroke-dasharray="4 3"' if shape.dashed else ""
        end = shape.bottom - 7 if shape.pointed else shape.bottom
        line = f'<path d="M{shape.x:.1f} {shape.top:.1f}V{end:.1f}" stroke="{_LINE}" fill="none"{dashes}/>'
        if not shape.pointed:
            return line
        return f'{line}<path d="M{shape.x:.1f} {shape.bottom - 1:.1f}l-4 -8h8z" fill="{_LINE}"/>'
    assert isinstance(shape, Words)
    weight = ' font-weight="600"' if shape.bold else ""
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" dy="0.35em" font-size="{shape.size}" fill="{shape.colour}" '
        f'text-anchor="{shape.anchor}"{weight}>{_text(shape.text)}</text>'
    )


def _text(text: str) -> str:
    return escape("".join(character if character.isprintable() else " " for character in text))
