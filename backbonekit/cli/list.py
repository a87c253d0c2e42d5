"""`backbonekit list [KIND] [FILTER]`: the names that a recipe can use, with what is known of each."""

import json
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from backbonekit.cli.arguments import import_parts, parse_arguments
from backbonekit.cli.listing import PART_KIND, Entry, entries
from backbonekit.cli.messages import write_error
from backbonekit.cli.text import described_table, printable, table, type_text
from backbonekit.contract.plain_text import count
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.config_roots import plugin_roots
from backbonekit.registry.plugins import plugin_offers
from backbonekit.registry.table import options

_DOC_COLUMNS = 80  # of a cell: what an option does
KINDS = (
    "models",
    "backbones",
    "necks",
    "heads",
    "criteria",
    "data",
    "augmentations",
    "experiments",
    "families",
    "timm",
)
_SORTS = ("name", "params")
USAGE = """usage: backbonekit list [KIND] [FILTER ...] [sort=params] [format=json]

examples:
  backbonekit list              all kinds but timm
  backbonekit list models       what model=NAME takes
  backbonekit list backbones    what backbone=NAME takes, beside timm/NAME, Hub ids and folders
  backbonekit list necks        with every option, its type and default (also: heads, criteria, data, augmentations)
  backbonekit list experiments  what experiment=NAME takes
  backbonekit list families     model types of transformers that are built natively
  backbonekit list timm         every architecture that backbone=timm/NAME takes
  backbonekit list swin         every name with these letters, of all kinds but timm
  backbonekit list 'timm/*convnext*' sort=params   the same in one kind; * stands for any letters
  backbonekit list models --config-dir configs     with recipes of your own

Parameters of a backbone are those without the classifier that it was trained with; strides are those of its maps.
Weights are repositories of the Hub: of a model they open whole as recipe=ID, after `backbone:` they are of its backbone
alone; format=json lists all of them.

  sort=             name or params, the smallest first (default: name)
  format=           table or json (default: table)
  --config-dir DIR  a folder of your own recipes
  --import MODULE   load a module that registers parts of your own
"""
_SINGULAR = {
    "model": "models",
    "backbone": "backbones",
    "criterion": "criteria",
    "experiment": "experiments",
    "family": "families",
    **{one: several for several, one in PART_KIND.items()},
}
_UNKNOWN = float("inf")  # sorts names without a number last


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, ("format", "sort"), takes_names=True)
    if arguments.help:
        print(USAGE, end="")
        return 0
    style, order = arguments.literals.get("format", "table"), arguments.literals.get("sort", "name")
    faults = [f"{word}: list takes KIND, FILTER, sort= and format= alone." for word in arguments.overrides]
    if style not in ("json", "table"):
        faults.append(f"format={style}: must be format=json or format=table.")
    if order not in _SORTS:
        faults.append(f"sort={order}: {nearest(order, _SORTS)}")
    if faults:
        raise RecipeError(faults)
    import_parts(arguments.imports)
    kinds, filters = _wanted(arguments.names)
    found = {
        kind: entries(kind, lambda name: _matches(name, filters), arguments.config_dir)
        for kind in (kinds or [kind for kind in KINDS if kind != "timm"])
    }
    if filters:
        found = {kind: listed for kind, listed in found.items() if listed}
        if not found:
            _refuse(kinds, filters[0], arguments.config_dir)
    if order == "params":
        found = {kind: sorted(listed, key=lambda entry: entry.parameters or _UNKNOWN) for kind, listed in found.items()}
    if style == "json":
        print(json.dumps({kind: {entry.name: entry.to_dict() for entry in found[kind]} for kind in found}))
        return _write_plugin_faults()
    for kind, listed in found.items():
        print(printable(f"{_title(kind, listed)}\n{_text(kind, listed, with_options=bool(kinds))}\n"))
    return _write_plugin_faults()


def _write_plugin_faults() -> int:
    """Names what installed packages offer that cannot be used; returns the exit code."""
    faults = (*plugin_offers().faults, *plugin_roots()[1])
    for fault in faults:
        write_error(fault)
    return 1 if faults else 0


def _refuse(kinds: Sequence[str], word: str, config_dir: str | None) -> None:
    known = [] if kinds else list(KINDS)
    for kind in kinds or [kind for kind in KINDS if kind != "timm"]:
        known += [entry.name for entry in entries(kind, lambda _: True, config_dir)]
    also = "" if kinds else f" In timm: backbonekit list timm {word}."
    raise RecipeError(f"nothing to list under {word!r}; {nearest(word, known)}{also}")


def _wanted(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Kinds and filters. `timm/convnext` and 'timm *next*' are a kind with a filter."""
    kinds, filters = [], []
    for word in words:
        first, *rest = word.replace("/", " ").split() or [word]
        kind = _SINGULAR.get(first, first)
        if kind in KINDS:
            kinds.append(kind)
            filters += rest
        else:
            filters.append(word)
    return kinds, filters


def _matches(name: str, filters: Sequence[str]) -> bool:
    return all(fnmatchcase(name, each if "*" in each or "?" in each else f"*{each}*") for each in filters)


def _text(kind: str, listed: Sequence[Entry], *, with_options: bool) -> str:
    """The table of a kind; of parts that were asked for, each with the table of its options."""
    if with_options and kind in PART_KIND:
        same = len({entry.origin for entry in listed}) == 1
        titles = [f"  {entry.name}  {entry.about}" + ("" if same else f" ({entry.origin})") for entry in listed]
        tables = [_option_lines(PART_KIND[kind], entry.name) for entry in listed]
        return "\n".join(f"{title}\n{options}" for title, options in zip(titles, tables, strict=True))
    columns = ["name", "from", "what it is"]
    if any(entry.parameters or entry.weights for entry in listed):
        columns = ["name", "params", "strides", "weights", "from", "what it is"]
    if len({entry.origin for entry in listed}) == 1:  # it stands once, above
        columns.remove("from")
    rows = [[_cells(entry)[column] for column in columns] for entry in listed]
    return described_table(columns, rows, right=[columns.index(each) for each in ("params",) if each in columns])


def _title(kind: str, listed: Sequence[Entry]) -> str:
    origins = {entry.origin for entry in listed}
    return f"{kind} ({origins.pop()}):" if len(origins) == 1 else f"{kind}:"


def _cells(entry: Entry) -> dict[str, str]:
    return {
        "name": entry.name,
        "params": "-" if entry.parameters is None else count(entry.parameters),
        "strides": " ".join(f"{stride:g}" for stride in entry.strides) or "-",
        "weights": _weights(entry),
        "from": entry.origin,
        "what it is": _one_line(entry.about),
    }


def _one_line(about: str) -> str:
    """The first sentence without addresses."""
    text = re.sub(r",? *https?://[^\s),]+", "", about).replace("()", "").strip()
    return re.split(r"(?<=[a-z0-9)]\.)\s(?=[A-Z])", text)[0]


def _weights(entry: Entry) -> str:
    if not entry.weights:
        return "-"
    return entry.weights[0] + (f" +{len(entry.weights) - 1}" if len(entry.weights) > 1 else "")


def _option_lines(kind: str, name: str) -> str:
    found = options(kind, name)
    if not found:
        return ""
    rows = []
    for option, entry in found.items():
        default = json.dumps(entry["default"]) if "default" in entry else "required"
        rows.append((f"      {option}", type_text(entry["schema"]), default, entry.get("doc", "")))
    return table(("      option", "type", "default", "what it does"), rows, widest=_DOC_COLUMNS) + "\n"
