"""`backbonekit explain KEY model=NAME`: which default, file, override or inference set a value of a recipe."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from backbonekit.cli.arguments import LITERALS, Arguments, import_parts, parse_arguments
from backbonekit.cli.messages import note
from backbonekit.cli.recipes import Start, opened
from backbonekit.cli.start import WAYS_TO_NAME_A_MODEL, literal_faults, names_a_model, start_of
from backbonekit.cli.text import printable, table, type_text, value_text
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.recipe.explain import Link, chain, matching_keys, option_of, unfinished_chain
from backbonekit.recipe.leaves import ABSENT
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.trace import Trace

KNOWN = ("recipe", "revision", "format")
USAGE = """usage: backbonekit explain [KEY ...] model=NAME [key=value ...] [format=json]

examples:
  backbonekit explain head.num_queries model=maskformer_resnet50
  backbonekit explain backbone.out_indices model=fcn_resnet50 backbone=swin_tiny
  backbonekit explain processing recipe=runs/m1
  backbonekit explain model=maskformer_resnet50

KEY: a value of the recipe, which is explained step by step, or a section such as head, of which every value is listed
with what set it last; without KEY the whole recipe. Other arguments:
"""
_COLUMNS = ("value", "kind", "set by")
# Sections that wiring changes nothing of: these are explained without torch.
_AS_COMPOSED = ("head", "heads", "labels", "adapt", "training", "schema_version")


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN, takes_names=True)
    if arguments.help:
        print(USAGE + "\n".join(f"  {name + '=':<18}{LITERALS[name]}" for name in KNOWN))
        return 0
    faults = [] if names_a_model(arguments) else [f"nothing to explain. {WAYS_TO_NAME_A_MODEL}"]
    if arguments.literals.get("format", "table") not in ("table", "json"):
        faults.append(f"format={arguments.literals['format']}: must be table or json.")
    faults += literal_faults(arguments)
    if faults:
        raise RecipeError(faults)
    import_parts(arguments.imports)
    trace = Trace(arguments.literals.get("recipe", "the recipe"))
    try:
        recipe = compose_recipe(_start(arguments), arguments.overrides, config_dir=arguments.config_dir, trace=trace)
    except RecipeError:
        _print_what_was_given(trace, arguments.names)
        raise
    wired, notes = _wired(recipe, arguments.names)
    flat = (wired or recipe).to_dict()
    keys = [key for name in arguments.names or [""] for key in matching_keys(flat, name)]
    chains = {key: chain(trace, recipe, key, wired=wired) for key in dict.fromkeys(keys)}
    if arguments.literals.get("format") == "json":
        values = [_record(flat, key, links) for key, links in chains.items()]
        print(json.dumps({"values": values, "notes": notes}))
        return 0
    print(printable(_text(flat, chains, arguments.names)))
    for text in notes:
        note(text)
    return 0


def _print_what_was_given(trace: Trace, names: Sequence[str]) -> None:
    """Of a refused recipe: where the values that were asked for come from; the error then says what is wrong."""
    for name in names:
        links = unfinished_chain(trace, name)
        if links:
            rows = [(_shown(link.value), link.by, link.source) for link in links]
            print(printable(f"{name}: refused\n\n{table(_COLUMNS, rows)}"), file=sys.stderr)


def _start(arguments: Arguments) -> Start:
    if "recipe" in arguments.literals:
        return opened(arguments.literals["recipe"], revision=arguments.literals.get("revision"))
    return start_of(arguments)


def _wired(recipe: Recipe, names: Sequence[str]) -> tuple[Recipe | None, list[str]]:
    """The recipe with what wiring decides, and notes; None where that is not needed, or where the parts do not fit."""
    sections = [name.replace("/", ".").removeprefix("model.").split(".") for name in names]
    if names and all(steps[0] in _AS_COMPOSED and "neck" not in steps for steps in sections):
        return None, list(recipe.notes)
    import torch

    from backbonekit.assembly.build import build_composed

    try:
        model = build_composed(recipe, device=torch.device("meta"))
    except (ContractError, StorageError, RecipeError) as error:
        return None, [*recipe.notes, f"explained without wiring, since it fails: {error}"]
    return model.recipe, [] if model.weight_report is None else list(model.weight_report.notes)


def _record(flat: dict[str, Any], key: str, links: Sequence[Link]) -> dict[str, Any]:
    option = option_of(flat, key)
    about = {} if option is None else {"schema": option.schema, "doc": option.doc}
    return {"key": key, "value": links[-1].value, **about, "chain": [link.to_dict() for link in links]}


def _text(flat: dict[str, Any], chains: dict[str, list[Link]], names: Sequence[str]) -> str:
    if len(chains) > len(names):
        rows = [(key, _shown(links[-1].value), links[-1].source) for key, links in chains.items()]
        return table(("key", "value", "set by"), rows)
    blocks = []
    for key, links in chains.items():
        option = option_of(flat, key)
        lines = [f"{key}: {_shown(links[-1].value)}"]
        if option is not None:
            lines += [f"  {type_text(option.schema)}{'; ' if option.doc else ''}{option.doc}"]
        rows = [(_shown(link.value), link.by, link.source) for link in links]
        blocks.append("\n".join([*lines, "", table(_COLUMNS, rows)]))
    return "\n\n".join(blocks)


def _shown(value: Any) -> str:
    return "-" if value is ABSENT else value_text(value)
