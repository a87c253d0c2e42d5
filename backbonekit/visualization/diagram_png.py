"""A diagram as an image, drawn by Pillow."""

from typing import Any

from PIL import Image, ImageDraw

from backbonekit.visualization.diagram import Diagram
from backbonekit.visualization.diagram_layout import Rectangle, Stroke, Words, layout
from backbonekit.visualization.text import font

_LINE = "#6e7781"


def diagram_image(diagram: Diagram, *, scale: int = 2) -> Image.Image:
    """`scale`: pixels of the image for one of the layout; 2 is sharp on most screens."""
    page = layout(diagram)
    image = Image.new("RGB", (round(page.width * scale), round(page.height * scale)), "white")
    drawing: Any = ImageDraw.Draw(image)
    for shape in page.shapes:
        if isinstance(shape, Rectangle):
            _rectangle(drawing, shape, scale)
        elif isinstance(shape, Stroke):
            _stroke(drawing, shape, scale)
        else:
            _words(drawing, shape, scale)
    return image


def _rectangle(drawing: Any, shape: Rectangle, scale: int) -> None:
    left, top = round(shape.left * scale), round(shape.top * scale)
    box = (left, top, round((shape.left + shape.width) * scale), round((shape.top + shape.height) * scale))
    radius, width = round(shape.radius * scale), max(1, round(1.2 * scale))
    drawing.rounded_rectangle(box, radius, fill=shape.fill, outline=shape.border, width=width)
    if not shape.dashed:
        return
    # Gaps in the border: Pillow draws no dashes.
    for start in range(box[0] + radius, box[2] - radius, 8 * scale):
        end = min(start + 3 * scale, box[2] - radius)
        for y in (box[1], box[3] - width + 1):
            drawing.rectangle((start, y, end, y + width - 1), fill=shape.fill)
    for start in range(box[1] + radius, box[3] - radius, 8 * scale):
        end = min(start + 3 * scale, box[3] - radius)
        for x in (box[0], box[2] - width + 1):
            drawing.rectangle((x, start, x + width - 1, end), fill=shape.fill)


def _stroke(drawing: Any, shape: Stroke, scale: int) -> None:
    x, top, bottom = round(shape.x * scale), round(shape.top * scale), round(shape.bottom * scale)
    end = bottom - 7 * scale if shape.pointed else bottom
    steps = range(top, end, 7 * scale) if shape.dashed else [top]
    for start in steps:
        drawing.line((x, start, x, min(start + 4 * scale, end) if shape.dashed else end), fill=_LINE, width=scale)
    if shape.pointed:
        drawing.polygon(
            [(x, bottom - scale), (x - 4 * scale, bottom - 9 * scale), (x + 4 * scale, bottom - 9 * scale)], fill=_LINE
        )


def _words(drawing: Any, shape: Words, scale: int) -> None:
    anchor = "mm" if shape.anchor == "middle" else "lm"
    drawing.text(
        (shape.x * scale, shape.y * scale),
        shape.text,
        font=font(shape.size * scale),
        fill=shape.colour,
        anchor=anchor,
    )
