"""Makes the option table from the parts themselves: the only file of this package that imports them."""

import inspect
import json
import re
from typing import Any

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.contract.option_schema import fields_of, options_of
from backbonekit.contract.processing import Processing
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import resolve
from backbonekit.registry.table import WIRED, WITH_OPTIONS


def table_text() -> str:
    """The table as the text of its file."""
    return json.dumps(table(), indent=1, ensure_ascii=False) + "\n"


def table() -> dict[str, Any]:
    families = {model_type: fields_of(family(model_type).config_class) for model_type in sorted(model_types())}
    derived = {
        model_type: sorted(family(model_type).config_class.derived_fields) for model_type in sorted(model_types())
    }
    return {
        **{kind: {name: _part(kind, name) for name in BUILTIN[kind]} for kind in WITH_OPTIONS},
        "config": {"families": families, "ignored": sorted(GENERIC_FIELDS), "derived": derived},
        "processing": fields_of(Processing),
    }


def _part(kind: str, name: str) -> dict[str, Any]:
    part = resolve(kind, name)
    options = options_of(part)
    if kind == "criterion":
        options = {name: option for name, option in options.items() if name not in WIRED}
    entry: dict[str, Any] = {"doc": _first_sentence(inspect.getdoc(part) or ""), "options": options}
    return entry | {"criterion": part.criterion} if kind == "head" else entry


def _first_sentence(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text)[0]
