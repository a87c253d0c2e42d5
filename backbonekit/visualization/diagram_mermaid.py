"""A diagram as Mermaid's text, which GitHub, GitLab and many editors draw."""

from backbonekit.visualization.diagram import Box, Diagram, plain

_SHAPES = {"image": ("([", "])"), "result": ("([", "])"), "criterion": ("[", "]")}


def diagram_mermaid(diagram: Diagram) -> str:
    """A flowchart from the top down. What nobody named has a dashed border; notes stand in a box of their own.

    Source: the flowchart syntax, https://mermaid.js.org/syntax/flowchart.html.
    """
    keys = {box.key: f"n{number}" for number, box in enumerate(diagram.boxes)}
    lines = ["flowchart TD"]
    for box in diagram.boxes:
        opened, closed = _SHAPES.get(box.kind, ("[", "]"))
        lines.append(f'    {keys[box.key]}{opened}"{_words(box)}"{closed}')
    for arrow in diagram.arrows:
        carried = ", ".join(map(_escaped, arrow.lines))
        middle = f'-- "{carried}" -->' if carried else "-.->"
        lines.append(f"    {keys[arrow.source]} {middle} {keys[arrow.target]}")
    if diagram.notes:
        notes = "<br>".join(f"({number}) {_escaped(note)}" for number, note in enumerate(diagram.notes, 1))
        lines.append(f'    notes["{notes}"]')
        lines.append("    style notes fill:#ffffff,stroke:#c9d1d9")
    for box in diagram.boxes:
        if box.inserted:
            lines.append(f"    style {keys[box.key]} stroke:#d1242f,stroke-dasharray:5 3")
    return "\n".join(lines) + "\n"


def _words(box: Box) -> str:
    label = f"{box.label}, inserted" if box.inserted else box.label
    marks = "".join(f" ({number})" for number in box.notes)
    rows = [f"<b>{_escaped(box.title)}</b>{marks}", *map(_escaped, box.lines)]
    return "<br>".join([_escaped(label), *rows] if label else rows)


def _escaped(text: str) -> str:
    """Mermaid's entities for the characters that it or HTML would read as syntax."""
    table = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", ";": "#59;", "&": "#amp;", "`": "#96;"}
    return "".join(table.get(character, character) for character in plain(text))
