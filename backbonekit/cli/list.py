"""`backbonekit list [KIND]`: the names that a recipe can use."""

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from backbonekit.cli.text import printable, table, type_text
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.config_roots import config_names, shipped_root
from backbonekit.registry.lookup import names
from backbonekit.registry.table import config_families, options, summary

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
USAGE = """usage: backbonekit list [KIND] [FILTER ...] [format=json]

examples:
  backbonekit list              all kinds but timm
  backbonekit list models       what model=NAME takes
  backbonekit list backbones    what backbone=NAME takes, beside timm/NAME, Hub ids and folders
  backbonekit list necks        with every option, its type and default (also: heads, criteria, data, augmentations)
  backbonekit list experiments  what experiment=NAME takes
  backbonekit list families     model types of transformers that are built natively
  backbonekit list timm         every architecture that backbone=timm/NAME takes (imports timm)
  backbonekit list swin         every name with these letters, of all kinds but timm
  backbonekit list timm '*next*tiny*'   the same in one kind; * stands for any letters
"""
_PART_KIND = {
    "necks": "neck",
    "heads": "head",
    "criteria": "criterion",
    "data": "data",
    "augmentations": "augmentation",
}
_GROUP = {"models": "model", "backbones": "model/backbone", "experiments": "experiment"}
_SINGULAR = {
    "model": "models",
    "backbone": "backbones",
    "criterion": "criteria",
    "experiment": "experiments",
    "family": "families",
    **{one: several for several, one in _PART_KIND.items()},
}


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    unknown = [word for word in words if word.startswith("format=") and word not in ("format=json", "format=table")]
    if unknown:
        raise RecipeError(f"{unknown[0]}: must be format=json or format=table.")
    kinds, filters = _wanted(word for word in words if not word.startswith("format="))
    found = {kind: _names(kind) for kind in (kinds or [kind for kind in KINDS if kind != "timm"])}
    if filters:
        known = [*(KINDS if not kinds else ()), *(name for listed in found.values() for name in listed)]
        found = {kind: [name for name in listed if _matches(name, filters)] for kind, listed in found.items()}
        found = {kind: listed for kind, listed in found.items() if listed}
        if not found:
            word = filters[0]
            also = "" if kinds else f" In timm: backbonekit list timm {word}."
            raise RecipeError(f"nothing to list under {word!r}; {nearest(word, known)}{also}")
    if "format=json" in words:
        print(json.dumps(found))
        return 0
    for kind, listed in found.items():
        print(f"{kind}:")
        for name in listed:
            print(printable(f"  {name}{_about(kind, name)}"))
            if kinds and kind in _PART_KIND:
                print(printable(_option_lines(_PART_KIND[kind], name)))
        print()
    return 0


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


def _names(kind: str) -> list[str]:
    if kind in _PART_KIND:
        return list(names(_PART_KIND[kind]))
    if kind in _GROUP:
        return config_names((shipped_root(),), _GROUP[kind])
    if kind == "families":
        return sorted(config_families())
    import timm

    return list(timm.list_models())


def _about(kind: str, name: str) -> str:
    if kind in _PART_KIND:
        text = summary(_PART_KIND[kind], name)
    elif kind in _GROUP:
        text = _header(shipped_root().find(f"{_GROUP[kind]}/{name}"))
    else:
        text = ""
    return f"  {text}" if text else ""


def _header(file: Path | None) -> str:
    """The comment at the top of a shipped file, up to its command to try."""
    lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
    comment = [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]
    return " ".join(takewhile(lambda line: not line.startswith("try:"), comment))


def _option_lines(kind: str, name: str) -> str:
    found = options(kind, name)
    if not found:
        return ""
    rows = []
    for option, entry in found.items():
        default = json.dumps(entry["default"]) if "default" in entry else "required"
        rows.append((f"      {option}", type_text(entry["schema"]), default, entry.get("doc", "")))
    return table(("      option", "type", "default", "what it does"), rows, widest=_DOC_COLUMNS) + "\n"
