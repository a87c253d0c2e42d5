"""`backbonekit list [KIND]`: the names that a recipe can use."""

import json
from collections.abc import Sequence

from backbonekit.cli.text import printable, table
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.config_roots import config_names, shipped_root
from backbonekit.registry.lookup import names
from backbonekit.registry.table import config_families, options, summary

KINDS = ("models", "backbones", "necks", "heads", "criteria", "families", "timm")
USAGE = """usage: backbonekit list [KIND] [format=json]

examples:
  backbonekit list              all kinds but timm
  backbonekit list models       what model=NAME takes
  backbonekit list backbones    what backbone=NAME takes, beside timm/NAME, Hub ids and folders
  backbonekit list necks        with every option, its type and default (also: heads, criteria)
  backbonekit list families     model types of transformers that are built natively
  backbonekit list timm         every architecture that backbone=timm/NAME takes (imports timm)
"""
_PART_KIND = {"necks": "neck", "heads": "head", "criteria": "criterion"}
_GROUP = {"models": "model", "backbones": "model/backbone"}


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    kinds = [word for word in words if not word.startswith("format=")]
    as_json = "format=json" in words
    unknown = [word for word in kinds if word not in KINDS]
    unknown += [word for word in words if word.startswith("format=") and word not in ("format=json", "format=table")]
    if unknown:
        raise RecipeError(f"nothing to list under {unknown[0]!r}; {nearest(unknown[0], KINDS)}")
    found = {kind: _names(kind) for kind in (kinds or [kind for kind in KINDS if kind != "timm"])}
    if as_json:
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
    text = summary(_PART_KIND[kind], name) if kind in _PART_KIND else ""
    return f"  {text}" if text else ""


def _option_lines(kind: str, name: str) -> str:
    found = options(kind, name)
    if not found:
        return ""
    rows = []
    for option, entry in found.items():
        default = json.dumps(entry["default"]) if "default" in entry else "required"
        rows.append((f"      {option}", _type(entry["schema"]), default, entry.get("doc", "")))
    return table(("      option", "type", "default", "what it does"), rows) + "\n"


def _type(schema: dict) -> str:
    """A JSON Schema in few words: integer 1 to 16384, or one of several."""
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    text = str(schema.get("type", "any"))
    if "minimum" in schema:
        text += f" {schema['minimum']:g} to {schema.get('maximum', float('inf')):g}"
    return text
