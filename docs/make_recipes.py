"""Writes the tables of docs/recipes.md, docs/experiments.md and docs/architectures.md from the option table and the
classes of a recipe: `python docs/make_recipes.py`. A test fails when one is stale. Imports no torch.
"""

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.contract.option_schema import option_docs
from backbonekit.contract.option_values import described
from backbonekit.recipe.backbone_options import KEYS, SCHEMAS
from backbonekit.recipe.experiment_sections import section_fields
from backbonekit.recipe.recipe import BackboneRecipe, TaskRecipe
from backbonekit.registry.lookup import names
from backbonekit.registry.table import (
    Options,
    config_families,
    config_fields,
    default_criterion,
    options,
    processing_fields,
    summary,
)

DOCS = Path(__file__).parent
PAGES = ("recipes.md", "experiments.md", "architectures.md")
HEADER = "| key | value | default | meaning |\n|---|---|---|---|\n"
# The keys of a task whose values are parts or sections; the page has a table of each.
TASK_VALUES = {
    "head": "a head, or null",
    "neck": "null, one neck, or a list",
    "loss_weight": "a number from 0",
    "labels": "as the model's",
    "processing": "a mapping",
}


def with_tables(text: str) -> str:
    """A page with each `<!-- NAME -->` ... `<!-- end -->` filled as the code has it now."""
    return re.sub(
        r"<!-- (?!end)(\w+) -->\n.*?<!-- end -->",
        lambda found: f"<!-- {found[1]} -->\n{TABLES[found[1]]()}<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def backbone_table() -> str:
    defaults = BackboneRecipe("timm", "resnet50").to_dict() | {"source": "inferred", "bands_from": None}
    fields = {}
    for key, doc in _docs(BackboneRecipe, KEYS).items():
        schema = SCHEMAS.get(key)
        if key == "source":
            schema = {"enum": list(names("backbone"))}
        fields[key] = {"schema": schema, "doc": doc}
        if key not in ("name", "source"):
            fields[key]["default"] = defaults.get(key)
    fields["out_indices"]["default"] = "auto"
    return _table(fields, required={"source": "inferred from the name", "name": "required, or `config`"})


def task_table() -> str:
    rows = [
        f"| `{key}` | {TASK_VALUES[key]} | {'`1.0`' if key == 'loss_weight' else ''} | {doc} |"
        for key, doc in _docs(TaskRecipe, TASK_VALUES).items()
    ]
    return HEADER + "\n".join(rows) + "\n"


def parts(kind: str) -> str:
    """A section for each part: what it is, its default loss, its options."""
    sections = []
    for name in sorted(names(kind)):
        found = options(kind, name) or {}
        loss = default_criterion(name) if kind == "head" else None
        shown_loss = f" Its loss: [`{loss}`](#criterion-{loss})." if loss else ""
        own_losses = " Its losses are its own." if kind == "head" and loss is None else ""
        title = f"criterion {name}" if kind == "criterion" else name
        sections.append(
            f"### {title}\n\n{summary(kind, name)}{shown_loss}{own_losses}\n\n"
            + (_table(found) if found else "No options.\n")
        )
    return "\n" + "\n".join(sections) + "\n"


def architectures() -> str:
    sections = []
    for family in sorted(config_families()):
        fields = config_fields(family)
        assert fields is not None
        sections.append(f"## {family}\n\n{_table(fields)}")
    return "\n" + "\n".join(sections) + "\n"


def _docs(described_class: type, keys: Any) -> dict[str, str]:
    """Key -> what the class says of it; KeyError where it says nothing."""
    found = option_docs(inspect.getdoc(described_class) or "")
    return {key: found[key] for key in keys}


def _table(fields: Options | Mapping[str, Any], required: Mapping[str, str] | None = None) -> str:
    rows = []
    for name, entry in fields.items():
        default = f"`{json.dumps(entry['default'])}`" if "default" in entry else (required or {}).get(name, "required")
        rows.append(f"| `{name}` | {_value(entry['schema'])} | {default} | {_cell(entry.get('doc', ''))} |")
    return HEADER + "\n".join(rows) + "\n"


def _value(schema: Mapping[str, Any] | None) -> str:
    """Type and bounds in words."""
    if schema is None:
        return "a mapping, or null: [the fields of each family](architectures.md)"
    choices = schema.get("anyOf", [schema])
    others = [described(choice) for choice in choices if choice != {"type": "null"}]
    return _cell(" or ".join(["null"] * (len(others) < len(choices)) + others))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


TABLES = {
    "backbone": backbone_table,
    "task": task_table,
    "processing": lambda: _table(processing_fields()),
    "necks": lambda: parts("neck"),
    "heads": lambda: parts("head"),
    "criteria": lambda: parts("criterion"),
    "data": lambda: parts("data"),
    "augmentations": lambda: parts("augmentation"),
    "optimisation": lambda: _table(section_fields("optimisation")),
    "trainer": lambda: _table(section_fields("trainer")),
    "architectures": architectures,
}

if __name__ == "__main__":
    for page in PAGES:
        path = DOCS / page
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")
