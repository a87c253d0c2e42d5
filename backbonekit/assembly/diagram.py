"""The wiring of a model as a diagram."""

import re
from collections.abc import Sequence

from backbonekit.assembly.describe import Description, MapRow, PartRow
from backbonekit.contract.plain_text import count, seconds
from backbonekit.visualization.diagram import Arrow, Box, Diagram, Kind

_KINDS: dict[str, Kind] = {"backbone": "backbone", "shared_neck": "neck", "neck": "neck", "head": "head"}
_LONGEST_ORIGIN = 44  # characters
_IMAGE = "image"


def diagram_of(description: Description) -> Diagram:
    """Image, backbone, necks, heads, their predictions and criteria; each arrow with what it carries.

    Of a model that was run the shapes, FLOPs and seconds too. A note has a number, and is marked at every part whose
    name it has.
    """
    origins = {source["part"]: _origin(source) for source in description.weights}
    boxes = [Box(_IMAGE, "image", "input")]
    arrows = []
    read = {part.after for part in description.parts}
    for part in description.parts:
        boxes.append(_box(part, origins.get(part.path), description))
        arrows += [Arrow(part.after or _IMAGE, part.path, _level(row)) for row in part.receives]
        if part.path not in read:
            ends, more = _ends(part)
            boxes += ends
            arrows += more
    return Diagram(tuple(boxes), tuple(arrows), tuple(description.notes))


def _box(part: PartRow, origin: str | None, description: Description) -> Box:
    size = f"{count(part.parameters)} parameters"
    if description.input_shape:
        size += f", {count(part.flops)}FLOP, {seconds(part.seconds)}"
    named = re.compile(rf"(?<![\w/]){re.escape(part.name)}(?![\w/])")
    notes = tuple(number for number, note in enumerate(description.notes, 1) if named.search(note))
    return Box(
        part.path,
        _KINDS[part.path.partition(".")[0]],
        part.name,
        label=part.path,
        lines=(size,) if origin is None else (size, origin),
        inserted=part.inserted,
        notes=notes,
    )


def _ends(part: PartRow) -> tuple[list[Box], list[Arrow]]:
    """What nobody of the model reads: the maps of its last part, or a head's prediction, with what it learns from."""
    result = f"result of {part.path}"
    if part.prediction is None:
        arrows = [Arrow(part.path, result, _level(row)) for row in part.returns]
        return [Box(result, "result", "feature maps", label="output")], arrows
    carried = _tensors(part.returns) or [()]
    criterion = f"criterion of {part.path}"
    boxes = [
        Box(result, "result", part.prediction, label="prediction"),
        Box(criterion, "criterion", part.criterion or "losses of the head itself", label="criterion, with targets"),
    ]
    arrows = [*(Arrow(part.path, result, lines) for lines in carried), Arrow(result, criterion)]
    return boxes, arrows


def _level(row: MapRow) -> tuple[str, ...]:
    stride = () if row.stride is None else (f"stride {row.stride:g}",)
    shape = (_shape(row.shape),) if row.shape else ()
    return row.name, *stride, f"{row.channels} channels", *shape


def _tensors(rows: Sequence[MapRow]) -> list[tuple[str, ...]]:
    """The tensors of a prediction; those by level or image (`logits.0`, `logits.1`, ...) as one."""
    groups: dict[str, list[MapRow]] = {}
    for row in rows:
        groups.setdefault(re.sub(r"\.\d+$", "", row.name), []).append(row)
    carried: list[tuple[str, ...]] = []
    for name, group in groups.items():
        shapes = [_shape(row.shape) for row in group]
        if len(group) == 1:
            carried.append((name, *shapes))
        else:
            carried.append((name, f"{len(group)} tensors", shapes[0], f"to {shapes[-1]}"))
    return carried


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))  # no sign of multiplication, which Pillow's own font lacks


def _origin(source: dict) -> str:
    origin = str(source["origin"])
    shown = origin if len(origin) <= _LONGEST_ORIGIN else f"{origin[: _LONGEST_ORIGIN - 1]}…"
    return f"{shown}, {len(source['fresh'])} new" if source["fresh"] else shown
