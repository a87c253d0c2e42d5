"""JSON Schemas of the files that people write, made from the option table: an editor completes names and options, shows
what an option does, and marks mistakes.

A file may be partial (it inherits by `defaults`), so nothing is required. A comment in the head of a YAML file says
which schema is its own:

    # yaml-language-server: $schema=PATH

Those of what ships lie in `configs/schema/`; `backbonekit schema` writes them with the parts of installed packages.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backbonekit.contract.processing import OF_TARGETS
from backbonekit.recipe.config_roots import GROUP, SECTIONS, config_names, roots_for, shipped_root
from backbonekit.recipe.experiment_sections import PAPER, section_fields
from backbonekit.recipe.json_schema_parts import NULL, TEXT, PartSchemas, Schema, closed, mapping_or, of_options
from backbonekit.recipe.recipe import SCHEMA_VERSION
from backbonekit.registry.table import processing_fields

SHIPPED = "schema"  # the folder of those that ship, in configs/
_PARTS = ("backbone", "neck", "head")


def json_schema(
    file: str = "recipe", *, config_dir: str | Path | None = None, shipped_only: bool = False
) -> tuple[Schema, list[str]]:
    """The schema of a kind of file (of FILES), and what is wrong with parts of installed packages.

    `config_dir`: a folder whose names are offered too. `shipped_only`: without what is installed or registered beside
    what ships.
    """
    roots = (shipped_root(),) if shipped_only else roots_for(config_dir)
    files = {kind: config_names(roots, f"{GROUP}/{kind}") for kind in _PARTS}
    files |= {group: config_names(roots, group) for group in (GROUP, *SECTIONS)}
    parts = PartSchemas(files, shipped_only=shipped_only, classes_from_data=file == "experiment")
    schema = FILES[file](parts)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"backbonekit {file}"}
    return {**head, **schema, "$defs": parts.definitions}, list(dict.fromkeys(parts.faults))


def schema_text(schema: Schema) -> str:
    """The text of its file: a line for each part, so that a change of one is a change of one line."""
    lines = [f"{json.dumps(name)}: {_line(value)}" for name, value in schema.items() if name != "$defs"]
    definitions = [f"{json.dumps(name)}: {_line(value)}" for name, value in schema["$defs"].items()]
    lines.append('"$defs": {\n' + ",\n".join(definitions) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def modeline(path: str | Path) -> str:
    """The comment by which an editor finds the schema of a YAML file. `path`: absolute, or from that file."""
    return f"# yaml-language-server: $schema={Path(path).as_posix()}"


def shipped_schema(file: str = "recipe") -> Path:
    """Where the schema of what ships lies, for the comment in a file of one's own."""
    return shipped_root().folder / SHIPPED / f"{file}.json"


def _recipe(parts: PartSchemas) -> Schema:
    neck: Schema = parts.part("neck", several=True)
    labels: Schema = {"anyOf": [NULL, {"type": "array", "items": TEXT}, _labels()]}
    processing = processing_fields()
    task = closed(
        {
            "head": parts.part("head"),
            "neck": neck,
            "loss_weight": {"type": "number", "minimum": 0, "description": "factor of the task's losses"},
            "labels": labels,
            "processing": of_options({name: processing[name] for name in OF_TARGETS}),
        }
    )
    return closed(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "defaults": _defaults(parts, (*_PARTS, *(f"override {kind}" for kind in _PARTS))),
            "backbone": {**parts.backbone(), "description": "what computes feature maps from an image"},
            "neck": {**neck, "description": "what combines the maps: one, or several in their order"},
            "head": {**parts.part("head"), "description": "what predicts from the maps"},
            "heads": {"type": "object", "additionalProperties": task, "description": "several tasks, each by its name"},
            "labels": {**labels, "description": "the names of the classes"},
            "processing": {**of_options(processing), "description": "how an image becomes an input"},
            "adapt": {"enum": ["auto", "never"], "description": "never: refuse what wiring would adapt"},
            "training": closed({"freeze": closed({"stages": {"type": "integer"}, "norms": {"type": "boolean"}})}),
            "requires": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "installed packages whose parts it has, with their versions; written by saving",
            },
            "packed": {"type": "object", "description": "the weights of a saved model; written by saving"},
        }
    )


def _experiment(parts: PartSchemas) -> Schema:
    recipe = _recipe(parts)
    names: Schema = {"enum": list(parts.files[GROUP]), "description": "a recipe by its name"}
    groups = (f"/{GROUP}", *(f"/{section}" for section in SECTIONS), *(f"/{GROUP}/{kind}" for kind in _PARTS))
    augmentation: Schema = {"anyOf": [NULL, {"const": PAPER}, TEXT, _steps(parts)]}
    return closed(
        {
            "defaults": _defaults(parts, (*groups, *(f"override {group}" for group in groups))),
            "model": {
                **mapping_or(recipe, names, TEXT),
                "description": "the recipe, or what differs from the listed one",
            },
            "data": {**parts.part("data", others=(TEXT, NULL)), "description": "what it is trained on"},
            "augmentation": {**augmentation, "description": "how training images are varied"},
            "optimisation": {**_named("optimisation", parts), "description": "how the weights are updated"},
            "trainer": {**_named("trainer", parts), "description": "on what it runs, and for how long"},
        }
    )


def _section(name: str) -> Schema:
    return of_options(section_fields(name))


def _named(name: str, parts: PartSchemas) -> Schema:
    return mapping_or(_section(name), {"enum": list(parts.files[name])}, TEXT, NULL)


def _steps(parts: PartSchemas) -> Schema:
    return {"type": "array", "items": parts.part("augmentation", others=())}


def _defaults(parts: PartSchemas, groups: tuple[str, ...]) -> Schema:
    """A defaults list: `- backbone: swin_tiny`, `- override neck: fpn`, `- fcn_resnet50`, `- _self_`. The names that
    are known are offered; others may lie in folders that the editor does not know."""

    def choice(group: str) -> Schema:
        kind = group.removeprefix("override ").rpartition("/")[2]
        return {"anyOf": [{"enum": [*parts.files[kind]]}, TEXT, NULL, {"type": "array", "items": TEXT}]}

    chosen: Schema = {
        "type": "object",
        "properties": {group: choice(group) for group in groups},
        "minProperties": 1,
        "maxProperties": 1,
    }
    listed = ["_self_", *(parts.files[GROUP] if "backbone" in groups else ())]
    return {
        "type": "array",
        "items": {"anyOf": [{"enum": listed}, TEXT, chosen]},
        "description": "the files that this one inherits from, in merging order",
    }


def _labels() -> Schema:
    names_or_numbers: Schema = {"type": "array", "items": {"anyOf": [TEXT, {"type": "integer"}]}}
    ids: Schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    return closed({"names": {"type": "array", "items": TEXT}, "things": names_or_numbers, "category_ids": ids})


def _backbone_file(parts: PartSchemas) -> Schema:
    return parts.backbone(by_name=False)


# The kind of file -> its schema. Files of parts and sections lie in the groups of these names.
FILES: dict[str, Callable[[PartSchemas], Schema]] = {
    "recipe": _recipe,
    "experiment": _experiment,
    "backbone": _backbone_file,
    "neck": lambda parts: parts.mapping("neck"),
    "head": lambda parts: parts.mapping("head"),
    "data": lambda parts: parts.mapping("data"),
    "optimisation": lambda parts: _section("optimisation"),
    "trainer": lambda parts: _section("trainer"),
}
# The kinds of which files ship.
OF_SHIPPED_FILES = ("recipe", "experiment", "backbone", "neck", "head")


def main() -> None:
    """Writes the schemas of what ships again."""
    folder = shipped_root().folder / SHIPPED
    folder.mkdir(exist_ok=True)
    for file in OF_SHIPPED_FILES:
        text = schema_text(json_schema(file, shipped_only=True)[0])
        (folder / f"{file}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
