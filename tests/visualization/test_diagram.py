"""Diagrams: nothing overlaps, nothing leaves the page, names of others stay text."""

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from backbonekit.errors import ContractError
from backbonekit.visualization.diagram import Arrow, Box, Diagram
from backbonekit.visualization.diagram_file import diagram_bytes
from backbonekit.visualization.diagram_layout import Page, Rectangle, Stroke, Words, layout
from backbonekit.visualization.diagram_mermaid import diagram_mermaid
from backbonekit.visualization.diagram_png import diagram_image
from backbonekit.visualization.diagram_svg import diagram_svg
from backbonekit.visualization.text import font

LEVELS = [(f"p{power}", f"stride {2**power}", "256 channels", f"1 x 256 x {2**power} x 64") for power in range(2, 7)]
HOSTILE = '<script>alert("1")</script> & ]]> \x1b[31m\n--> "end'


def a_diagram(name="fpn", *, notes=("neck fpn: num_extra_levels=2, since head fcos requires coarser levels",)):
    """A backbone, a neck, and two tasks of different widths behind it."""
    boxes = (
        Box("image", "image", "input"),
        Box("backbone", "backbone", "microsoft/resnet-50", "backbone", ("23.5M parameters", "random, seed 0")),
        Box("neck.0", "neck", name, "neck.0", ("3M parameters",), inserted=True, notes=tuple(range(1, len(notes) + 1))),
        Box("head.a", "head", "fcos", "head.a"),
        Box("head.b", "head", "a_head_whose_name_is_much_wider_than_its_arrow", "head.b"),
        Box("criterion", "criterion", "sigmoid_focal", "criterion"),
    )
    arrows = (
        Arrow("image", "backbone", ("image", "3 channels")),
        *(Arrow("backbone", "neck.0", lines) for lines in LEVELS),
        *(Arrow("neck.0", "head.a", lines) for lines in LEVELS),
        Arrow("neck.0", "head.b", LEVELS[0]),
        Arrow("head.a", "criterion"),
    )
    return Diagram(boxes, arrows, notes)


def extent(words: Words) -> tuple[float, float, float, float]:
    width = font(words.size).getlength(words.text)
    left = words.x - width / 2 if words.anchor == "middle" else words.x
    return left, words.y - words.size * 0.6, left + width, words.y + words.size * 0.6


def check_page(page: Page) -> None:
    """No words over others, no frame over another, all within the page, every arrow from an edge to an edge."""
    words = [extent(shape) for shape in page.shapes if isinstance(shape, Words)]
    frames = [
        (shape.left, shape.top, shape.left + shape.width, shape.top + shape.height)
        for shape in page.shapes
        if isinstance(shape, Rectangle) and shape.radius < 8  # the round ones mark notes
    ]
    for these in (words, frames):
        for index, one in enumerate(these):
            assert one[0] >= 0
            assert one[2] <= page.width
            assert one[1] >= 0
            assert one[3] <= page.height
            for other in these[index + 1 :]:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (one, other)
    for left, top, right, bottom in words:
        around = [frame for frame in frames if frame[0] <= left and right <= frame[2]]
        is_note = top > max(frame[3] for frame in frames)
        assert is_note or any(frame[1] <= top and bottom <= frame[3] for frame in around) or right - left < 9
    for stroke in (shape for shape in page.shapes if isinstance(shape, Stroke)):
        ends = [stroke.bottom == frame[1] and frame[0] <= stroke.x <= frame[2] for frame in frames]
        starts = [stroke.top == frame[3] and frame[0] <= stroke.x <= frame[2] for frame in frames]
        assert sum(ends) == sum(starts) == 1


def test_nothing_overlaps_and_arrows_touch_their_boxes():
    check_page(layout(a_diagram()))
    check_page(layout(a_diagram(notes=tuple(f"note {number} " + "word " * 60 for number in range(12)))))
    check_page(layout(Diagram((Box("image", "image", "input"),), ())))


def test_the_check_finds_an_overlap():
    page = layout(a_diagram())
    moved = [shape for shape in page.shapes if isinstance(shape, Words)][3]
    page.shapes.append(Words(moved.x + 3, moved.y + 3, "over it", anchor="start"))
    with pytest.raises(AssertionError):
        check_page(page)


def test_svg_is_whole_and_holds_names_as_text():
    root = ElementTree.fromstring(diagram_svg(a_diagram(HOSTILE, notes=(HOSTILE,))))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("<script>" in text for text in texts)
    assert not any(element.tag.endswith("script") for element in root.iter())
    assert "microsoft/resnet-50" in texts
    assert "neck.0, inserted" in texts
    written = diagram_svg(a_diagram())
    assert "stroke-dasharray" in written
    assert not re.search(r"href|url\(|<image|@import", written)
    assert written.count("http") == 1  # the name space


def test_png_has_the_layout_of_svg():
    page, image = layout(a_diagram()), diagram_image(a_diagram())
    assert image.size == (round(page.width * 2), round(page.height * 2))
    boxes = [shape for shape in page.shapes if isinstance(shape, Rectangle) and shape.radius == 6]
    for box in boxes:
        pixel = image.getpixel((round(box.left * 2) + 12, round((box.top + box.height) * 2) - 12))
        assert "#{:02x}{:02x}{:02x}".format(*pixel) == box.fill
    with Image.open(io.BytesIO(diagram_bytes(a_diagram(), "A.PNG"))) as read:
        assert read.size == image.size


def test_mermaid_has_a_line_for_each_box_and_arrow():
    diagram = a_diagram(HOSTILE)
    lines = diagram_mermaid(diagram).splitlines()
    assert lines[0] == "flowchart TD"
    assert sum("-->" in line or "-.->" in line for line in lines) == len(diagram.arrows)
    assert '-- "p2, stride 4, 256 channels, 1 x 256 x 4 x 64" -->' in "\n".join(lines)
    assert any("stroke-dasharray" in line for line in lines)
    for line in lines:
        assert line.count('"') in (0, 2)
        assert "<script" not in line


def test_another_suffix_is_refused():
    with pytest.raises(ContractError, match=r"\.svg, \.png, \.mmd"):
        diagram_bytes(a_diagram(), "model.pdf")
