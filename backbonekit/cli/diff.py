"""`backbonekit diff A B`: what differs between two recipes, and what that does to wiring, parameters and work."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import LITERALS, Arguments, import_parts, parse_arguments
from backbonekit.cli.messages import note
from backbonekit.cli.recipes import start_from
from backbonekit.cli.text import printable, table, value_text
from backbonekit.contract.plain_text import count
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.leaves import ABSENT, Difference, differences
from backbonekit.recipe.recipe import Recipe

if TYPE_CHECKING:
    from backbonekit.assembly.describe import PartRow
    from backbonekit.assembly.sketch import Sketch

KNOWN = ("format",)
USAGE = """usage: backbonekit diff A [B] [key=value ...] [format=json]

examples:
  backbonekit diff maskformer_resnet50 maskformer_swin_tiny
  backbonekit diff maskformer_resnet50 backbone=swin_tiny head.num_classes=7
  backbonekit diff runs/m1 owner/model
  backbonekit diff runs/m1 mine.yaml format=json

A, B: a shipped recipe or one of --config-dir, a YAML file, a saved folder, a Hub repository of backbonekit or
transformers. Overrides change B; without B they change A. Wiring, parameters and multiply-adds are those of one
photograph of 640 x 480, as each recipe prepares it; no weight is read. Other arguments:
"""
_SIDES = ("A", "B")


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN, takes_names=True)
    if arguments.help:
        print(USAGE + "\n".join(f"  {name + '=':<18}{LITERALS[name]}" for name in KNOWN))
        return 0
    _check(arguments)
    import_parts(arguments.imports)
    first, second = arguments.names[0], arguments.names[-1]
    recipes = (
        compose_recipe(start_from(first, config_dir=arguments.config_dir), config_dir=arguments.config_dir),
        compose_recipe(
            start_from(second, config_dir=arguments.config_dir), arguments.overrides, config_dir=arguments.config_dir
        ),
    )
    sketches, notes = _sketches(recipes)
    wired = [sketched.recipe for sketched in sketches if sketched is not None]
    before, after = wired if len(wired) == len(recipes) else recipes
    found = differences(before.to_dict(), after.to_dict())
    if arguments.literals.get("format") == "json":
        print(json.dumps(_record(arguments, found, sketches, notes)))
    else:
        print(printable(_text(arguments, found, sketches)))
        for text in notes:
            note(text)
    return 0


def _check(arguments: Arguments) -> None:
    faults = []
    if not 1 <= len(arguments.names) <= 2:
        faults.append(f"diff compares two recipes, `diff A B`; {len(arguments.names)} were named.")
    elif len(arguments.names) == 1 and not arguments.overrides:
        faults.append(f"diff {arguments.names[0]}: with what? Name a second recipe, or overrides of this one.")
    if arguments.model is not None:
        faults.append(f"model={arguments.model}: diff takes the names alone, `diff {arguments.model} B`.")
    if arguments.literals.get("format", "table") not in ("table", "json"):
        faults.append(f"format={arguments.literals['format']}: must be table or json.")
    if faults:
        raise RecipeError(faults)


def _sketches(recipes: Sequence[Recipe]) -> tuple[list["Sketch | None"], list[str]]:
    """Of each recipe; None where its parts do not fit, which is a note."""
    from backbonekit.assembly.sketch import sketch

    found: list[Sketch | None] = []
    notes = []
    for side, recipe in zip(_SIDES, recipes, strict=True):
        try:
            found.append(sketch(recipe))
        except (ContractError, RecipeError, StorageError) as error:
            found.append(None)
            notes.append(f"{side} cannot be wired, so both are compared as they were composed: {error}")
        else:
            notes += [f"{side}: {text}" for text in found[-1].description.notes]  # type: ignore[union-attr]
    return found, notes


def _text(arguments: Arguments, found: Sequence[Difference], sketches: Sequence["Sketch | None"]) -> str:
    names = _titles(arguments)
    rows = [(each.key, _shown(each.before), _shown(each.after)) for each in found]
    keys = table(("key", *names), rows) if rows else "the recipes are the same"
    if not all(sketches):
        return keys
    return f"{keys}\n\n{table(('wiring', *names), _wiring_rows(sketches))}"


def _titles(arguments: Arguments) -> tuple[str, str]:
    first, second = arguments.names[0], arguments.names[-1]
    return first, " ".join([second if second != first else "with", *arguments.overrides])


def _wiring_rows(sketches: Sequence["Sketch | None"]) -> list[tuple[str, str, str]]:
    """The maps that each part returns, what it costs where that differs, and the sums, side by side."""
    sides = [sketched.description for sketched in sketches if sketched is not None]
    parts = [{part.path: part for part in side.parts} for side in sides]
    rows = [("input", *("x".join(map(str, side.input_shape)) for side in sides))]
    for path in dict.fromkeys([*parts[0], *parts[1]]):
        pair = [side.get(path) for side in parts]
        for label, texts in (
            (path, [_part_text(part) for part in pair]),
            ("  parameters", [_number(part, "parameters") for part in pair]),
            ("  multiply-adds", [_number(part, "multiply-adds") for part in pair]),
        ):
            if label == path or texts[0] != texts[1]:
                rows.append((label, *texts))
    rows.append(("parameters", *_with_change([side.parameters for side in sides])))
    rows.append(("multiply-adds", *_with_change([side.flops // 2 for side in sides])))
    return [(label, first, second) for label, first, second in rows]


def _part_text(part: "PartRow | None") -> str:
    if part is None:
        return "-"
    maps = ", ".join(
        f"{row.name} {row.channels}" + (f"/{row.stride:g}" if row.stride is not None else "") for row in part.returns
    )
    return f"{part.name}: {maps}"


def _number(part: "PartRow | None", what: str) -> str:
    return "-" if part is None else count(part.parameters if what == "parameters" else part.flops // 2)


def _with_change(pair: Sequence[int]) -> tuple[str, str]:
    before, after = pair
    change = f" ({(after - before) / before:+.1%})" if before and before != after else ""
    return count(before), count(after) + change


def _shown(value: Any) -> str:
    return "-" if value is ABSENT else value_text(value)


def _record(
    arguments: Arguments, found: Sequence[Difference], sketches: Sequence["Sketch | None"], notes: Sequence[str]
) -> dict[str, Any]:
    sides = {}
    for side, name, sketched in zip(_SIDES, _titles(arguments), sketches, strict=True):
        sides[side] = {"name": name, **({} if sketched is None else _measured(sketched))}
    return {"keys": [each.to_dict() for each in found], **sides, "notes": list(notes)}


def _measured(sketched: "Sketch") -> dict[str, Any]:
    described = sketched.description
    parts = [
        {
            "path": part.path,
            "name": part.name,
            "returns": [
                {"name": row.name, "channels": row.channels, "stride": row.stride, "shape": list(row.shape)}
                for row in part.returns
            ],
            "parameters": part.parameters,
            "multiply_adds": part.flops // 2,
        }
        for part in described.parts
    ]
    return {
        "input_shape": list(described.input_shape),
        "parts": parts,
        "parameters": described.parameters,
        "multiply_adds": described.flops // 2,
    }
