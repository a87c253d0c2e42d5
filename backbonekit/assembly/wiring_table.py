"""The wiring of a model as the rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from backbonekit.assembly.describe import Description, PartRow
from backbonekit.contract.plain_text import aligned, count, seconds
from backbonekit.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class WiringTable:
    """`rows`: one for each map that enters or leaves a part; its first one names the part. `right`: columns of
    numbers."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    right: tuple[int, ...]


def wiring_table(description: Description) -> WiringTable:
    """Shapes, FLOPs and seconds stand in it where the model was run."""
    lines = [line for part in description.parts for line in _lines(part)]
    if not description.input_shape:
        header = ("part", "name", "in", "out", "channels", "stride", "params")
        return WiringTable(header, [line[:6] + line[7:8] for line in lines], (4, 5, 6))
    header = ("part", "name", "in", "out", "channels", "stride", "shape", "params", "FLOPs", "time")
    return WiringTable(header, lines, (4, 5, 7, 8, 9))


def wiring_text(description: Description) -> str:
    """The table as text, with the origin of the weights and the notes below it."""
    table = wiring_table(description)
    lines = [aligned([table.header], table.rows, right=table.right)]
    lines += ["", f"{count(description.parameters)} parameters"]
    origins = {source["part"]: source["origin"] for source in description.weights}
    if len(set(origins.values())) == 1:
        origins = {"weights": next(iter(origins.values()))}
    lines += [f"{part}: {origin}" for part, origin in origins.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in description.notes)])


def title_of(recipe: Recipe) -> str:
    """The heads and the backbone, by name."""
    heads = [task.head.name for task in recipe.tasks.values() if task.head is not None]
    backbone = recipe.backbone.name or str((recipe.backbone.config or {}).get("model_type"))
    return f"{' and '.join(heads)} on {backbone}" if heads else backbone


def written_shape(shape: Sequence[int]) -> str:
    """1x3x480x640"""
    return "x".join(map(str, shape))


def _lines(part: PartRow) -> list[tuple[str, ...]]:
    names = [f"{row.name} {written_shape(row.shape[1:])}".rstrip() for row in part.receives]
    returned = part.returns
    lines = []
    for index in range(max(len(names), len(returned), 1)):
        given = returned[index] if index < len(returned) else None
        first = index == 0
        lines.append(
            (
                part.path if first else "",
                part.name if first else "",
                names[index] if index < len(names) else "",
                given.name if given else (part.prediction or "") if first else "",
                str(given.channels) if given else "",
                f"{given.stride:g}" if given and given.stride is not None else "",
                written_shape(given.shape) if given else "",
                count(part.parameters) if first else "",
                count(part.flops) if first else "",
                seconds(part.seconds) if first else "",
            )
        )
    return lines
