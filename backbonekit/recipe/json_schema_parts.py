"""JSON Schemas of parts: what may follow `head:`, `neck:`, `backbone:`, `data:`, made from the option table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import names
from backbonekit.registry.table import (
    Options,
    config_families,
    config_fields,
    imported_options,
    shipped_options,
    summary,
)

Schema = dict[str, Any]
NULL: Schema = {"type": "null"}
TEXT: Schema = {"type": "string"}
_REFERENCE: Schema = {"type": "string", "pattern": r"^\$\{[A-Za-z_][\w.]*\}$"}
_AUTO: Schema = {"const": "auto", "description": "as many as the data has"}


@dataclass(slots=True)
class PartSchemas:
    """The schemas of all parts, each written once, in `definitions`, where the others refer to it.

    `files`: kind -> the names of files that stand for a part. `shipped_only`: without the parts of installed packages
    and registered ones. `classes_from_data`: a head's number of classes may be `auto`, as in an experiment. `faults`:
    what could not be imported; such a part takes any option.
    """

    files: Mapping[str, Sequence[str]]
    shipped_only: bool = False
    classes_from_data: bool = False
    definitions: dict[str, Schema] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def part(self, kind: str, *, several: bool = False, others: Sequence[Schema] = (NULL,)) -> Schema:
        """A part as a recipe has it: a mapping, a name alone, or one of `others`; with `several` a list of them too.

        No name is required in a mapping: a file that inherits its part has only what differs.
        """
        known: Schema = {"enum": sorted({*self._names(kind), *self.files.get(kind, ())})}
        one = mapping_or(self.mapping(kind), known, *others)
        if not several:
            return one
        items = {"type": "array", "items": mapping_or(self.mapping(kind), known)}
        return mapping_or(self.mapping(kind), known, *others, items)

    def mapping(self, kind: str) -> Schema:
        """The mapping alone, as a file of the kind has it."""
        if kind not in self.definitions:
            self.definitions[kind] = {}
            self.definitions[kind] = {"anyOf": [self._named(kind, name) for name in self._names(kind)]}
        return {"$ref": f"#/$defs/{kind}"}

    def backbone(self, *, by_name: bool = True) -> Schema:
        """The keys of a backbone, or with `by_name` a name: of a file, of timm, of the Hub."""
        if "backbone" not in self.definitions:
            self.definitions["backbone"] = self._backbone_keys()
        keys = {"$ref": "#/$defs/backbone"}
        return mapping_or(keys, {"enum": list(self.files.get("backbone", ()))}, TEXT) if by_name else keys

    def _names(self, kind: str) -> list[str]:
        return sorted(BUILTIN[kind]) if self.shipped_only else list(names(kind))

    def _named(self, kind: str, name: str) -> Schema:
        found = shipped_options(kind, name) if self.shipped_only else imported_options(kind, name, self.faults)
        identity = {"name": {"const": name, "description": summary(kind, name)}}
        if found is None:
            return {"type": "object", "properties": identity, "required": ["name"]}
        schema = of_options(found)
        if self.classes_from_data and kind == "head" and "num_classes" in found:
            schema["properties"]["num_classes"]["anyOf"].append(_AUTO)
        if kind == "head":
            schema["properties"]["criterion"] = self.part("criterion")
        schema["properties"] = {**identity, **schema["properties"]}
        return schema

    def _backbone_keys(self) -> Schema:
        indices: Schema = {"type": "array", "items": {"type": "integer"}}
        stages: Schema = {"type": "array", "items": TEXT}
        strides: Schema = {"type": "array", "items": {"type": "number"}}
        configs = [*(self._config(model_type) for model_type in config_families()), _other_config()]
        bands: Schema = {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 0}, NULL]}}
        return closed(
            {
                "source": {
                    "enum": self._names("backbone"),
                    "description": "inferred from the name without",
                },
                "name": {"anyOf": [TEXT, NULL], "description": "Hub id, local folder, or timm architecture"},
                "config": {"anyOf": [NULL, *configs], "description": "the architecture, as in a config.json"},
                "pretrained": {"anyOf": [{"type": "boolean"}, TEXT], "description": "or a folder, file or Hub id"},
                "revision": {"anyOf": [TEXT, NULL], "description": "a commit, tag or branch of the Hub repository"},
                "out_indices": {
                    "anyOf": [{"const": "auto"}, {"type": "integer"}, indices],
                    "description": "which feature maps it returns, by number",
                },
                "out_features": {"anyOf": [{"const": "auto"}, TEXT, stages], "description": "the same by name"},
                "out_strides": {
                    "anyOf": [{"const": "auto"}, {"type": "number"}, strides],
                    "description": "the same by stride",
                },
                "in_channels": {"type": "integer", "minimum": 1, "description": "bands of an image; 3 without"},
                "bands_from": {
                    "anyOf": [bands, NULL],
                    "description": "the pretrained channel that each band starts from; null: their mean",
                },
                "args": {"anyOf": [{"type": "object"}, NULL], "description": "the architecture's own arguments"},
            }
        )

    def _config(self, model_type: str) -> Schema:
        if f"config.{model_type}" not in self.definitions:
            fields = config_fields(model_type)
            assert fields is not None
            schema = of_options(fields)
            schema["properties"] = {"model_type": {"const": model_type}, **schema["properties"]}
            self.definitions[f"config.{model_type}"] = schema
        return {"$ref": f"#/$defs/config.{model_type}"}


def of_options(table: Options) -> Schema:
    """A mapping of options, each with its description and default; a value may be a reference, `${neck.channels}`."""
    properties = {}
    for name, option in table.items():
        schema = option["schema"]
        entry: Schema = {"anyOf": [*schema.get("anyOf", [schema]), _REFERENCE]}
        if "doc" in option:
            entry["description"] = option["doc"]
        if "default" in option:
            entry["default"] = option["default"]
        properties[name] = entry
    return closed(properties)


def mapping_or(mapping: Schema, *others: Schema) -> Schema:
    """A mapping or something else. Written as a condition, so that an editor's message on a mistake in a mapping is
    about its keys; the names among the others are repeated as examples, which it offers for completion."""
    names = [name for other in others for name in other.get("enum", ())]
    examples = {"examples": names} if names else {}
    return {"if": {"type": "object"}, "then": mapping, "else": {"anyOf": list(others)}, **examples}


def closed(properties: Schema) -> Schema:
    """A mapping with these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _other_config() -> Schema:
    """Of families that only the transformers source builds; its fields are known once that library is imported."""
    other: Schema = {"type": "string", "not": {"enum": list(config_families())}}
    return {"type": "object", "properties": {"model_type": other}, "required": ["model_type"]}
