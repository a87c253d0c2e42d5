"""Checks the `backbone` of a recipe: as far as names, keys, types and bounds go without importing torch."""

import re
from collections.abc import Mapping
from typing import Any

from backbonekit.backbones.hf.generic_fields import ignored_note
from backbonekit.contract.option_values import MAX_TEXT, PLAIN_DATA, Schema, faults_of, shown
from backbonekit.errors import NearestNames, nearest
from backbonekit.recipe.forbidden import shown_path, words
from backbonekit.recipe.recipe import BackboneRecipe
from backbonekit.registry.lookup import is_known, names
from backbonekit.registry.table import config_families, config_fields, ignored_config_fields

KEYS = (
    "source",
    "name",
    "config",
    "pretrained",
    "revision",
    "out_indices",
    "out_features",
    "out_strides",
    "in_channels",
    "bands_from",
    "args",
)
SELECTIONS = ("out_indices", "out_features", "out_strides")
_INDEX = {"type": "integer", "minimum": -1_000, "maximum": 1_000}
_INDICES = {"type": "array", "items": _INDEX, "minItems": 1, "maxItems": 256}
_STRIDES = {
    "type": "array",
    "items": {"type": "number", "minimum": 1, "maximum": 1_024},
    "minItems": 1,
    "maxItems": 256,
}
_FEATURES = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 256}
_BAND = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 1_023}, {"type": "null"}]}
_TEXT_OR_NULL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
# Key -> the schema of its value, but for `source`, which the registry lists, and `config`, which is the family's.
SCHEMAS: Mapping[str, Schema] = {
    "name": _TEXT_OR_NULL,
    "pretrained": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
    "revision": _TEXT_OR_NULL,
    "out_indices": _INDICES,
    "out_features": _FEATURES,
    "out_strides": _STRIDES,
    "in_channels": {"type": "integer", "minimum": 1, "maximum": 1_024},  # hyperspectral cameras have a few hundred
    "bands_from": {"anyOf": [{"type": "array", "items": _BAND, "minItems": 1, "maxItems": 1_024}, {"type": "null"}]},
    "args": {"type": "object", "additionalProperties": PLAIN_DATA},
}
_TIMM_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_\-]+)?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-/]{0,199}")
# Words that transformers writes into every file, and nobody into a recipe.
_MARKS_OF_A_FILE = ("architectures", "transformers_version")
_WORD = re.compile(r"[A-Za-z0-9_\-]{0,64}")
_KEYWORD = re.compile(r"[a-z_][a-z0-9_]{0,63}")
# Arguments of timm.create_model that are not the architecture's, and what sets the same.
_NOT_ARGUMENTS = {
    "pretrained": "backbone.pretrained sets it",
    "in_chans": "backbone.in_channels sets it",
    "in_channels": "backbone.in_channels sets it",
    "num_classes": "classes belong to the head",
    "features_only": "every backbone returns feature maps",
    **dict.fromkeys(SELECTIONS, "it stands one level higher, in backbone"),
    **dict.fromkeys(
        words(
            "pretrained_cfg pretrained_cfg_overlay pretrained_cfg_priority pretrained_strict pretrained_filter_fn "
            "checkpoint_path checkpoint file hf_hub_id hf_hub_filename custom_load state_dict"
        ),
        "backbone.pretrained takes a folder, a file or a Hub id",
    ),
    **dict.fromkeys(["scriptable", "exportable", "no_jit", "device", "dtype"], "it is no argument of an architecture"),
}


def read_backbone(data: Any, faults: list[str], notes: list[str]) -> BackboneRecipe | None:
    """The backbone, or None where something is wrong; then `faults` lists it. `notes`: what was ignored."""
    before = len(faults)
    if data is None:
        faults.append("backbone is missing: give it a name, such as {name: timm/resnet50}.")
        return None
    if not isinstance(data, dict):
        faults.append(f"backbone: given {shown(data)}, must be a mapping such as {{source: timm, name: resnet50}}.")
        return None
    nearest_key = NearestNames(KEYS)
    for key in data:
        if key not in KEYS:
            faults.append(f"{shown_path(f'backbone.{key}')} is unknown; {nearest_key(key)}")
    source, name = _read_source_and_name(data, faults)
    config = _read_config(source, data.get("config"), faults, notes)
    if name is None and config is None and len(faults) == before:
        faults.append("backbone.name is missing: a Hub id, a folder or an architecture (or give backbone.config).")
    selection = _read_selection(data, faults)
    in_channels = data.get("in_channels", 3)
    faults.extend(faults_of("backbone.in_channels", in_channels, SCHEMAS["in_channels"]))
    bands_from = _read_bands_from(data.get("bands_from"), in_channels, faults)
    pretrained = _read_pretrained(data.get("pretrained", False), faults)
    revision = data.get("revision")
    if revision is not None and (
        not isinstance(revision, str) or not _REVISION.fullmatch(revision) or ".." in revision
    ):
        faults.append(f"backbone.revision: given {shown(revision)}, must be null or a commit, tag or branch.")
    args = _read_args(data.get("args"), faults)
    if len(faults) > before:
        return None
    return BackboneRecipe(
        source=source,
        name=name,
        config=config,
        pretrained=pretrained,
        revision=revision,
        in_channels=in_channels,
        bands_from=bands_from,
        args=args,
        **selection,
    )


def _read_bands_from(given: Any, in_channels: Any, faults: list[str]) -> tuple[int | None, ...] | None:
    found = faults_of("backbone.bands_from", given, SCHEMAS["bands_from"])
    faults.extend(found)
    if given is None or found:
        return None
    if len(given) != in_channels:
        faults.append(
            f"backbone.bands_from has {len(given)} entries for backbone.in_channels={shown(in_channels)}: one for each"
            " band of the images, the position of a pretrained channel or null for their mean."
        )
    return tuple(given)


def inferred_source(name: Any, config: Any) -> str:
    """The source of a backbone that names none: `timm/NAME` and bare words are timm's, the rest is Hugging Face's."""
    if isinstance(name, str) and name.startswith("timm/"):
        return "timm"
    if config is not None or not isinstance(name, str):
        return "hf"
    prefix = name.partition("/")[0]
    if prefix != name and prefix != "hf" and is_known("backbone", prefix):
        return prefix
    return "timm" if _TIMM_NAME.fullmatch(name) else "hf"


def _read_source_and_name(data: dict[str, Any], faults: list[str]) -> tuple[str, str | None]:
    name = data.get("name")
    source = data.get("source")
    if source is None:
        source = inferred_source(name, data.get("config"))
    elif not is_known("backbone", source):
        given = source if isinstance(source, str) else shown(source)
        faults.append(
            f"backbone.source: there is no source named {shown(source)}; {nearest(given[:MAX_TEXT], names('backbone'))}"
        )
        source = "?"
    if name is None:
        return source, None
    fault = _location_fault(name)
    if fault is not None:
        faults.append(f"backbone.name: given {shown(name)}, {fault}")
        return source, None
    name = name.removeprefix(f"{source}/") if name.count("/") > (source == "hf") else name
    if source == "timm" and not _TIMM_NAME.fullmatch(name):
        written = name.replace("-", "_")
        hint = f" Did you mean {written}?" if _TIMM_NAME.fullmatch(written) else ""
        faults.append(
            f"backbone.name: given {shown(name)}, must be the name of a timm architecture, such as resnet50 or "
            f"resnet50.a1_in1k; weights from elsewhere are named in backbone.pretrained.{hint}"
        )
    return source, name


def _location_fault(name: Any) -> str | None:
    if not isinstance(name, str) or not name.strip():
        return "must be text: a Hub id, a folder or an architecture."
    if len(name) > MAX_TEXT:
        return f"longer than {MAX_TEXT:,} characters."
    if not name.isprintable():
        return "must not hold control characters."
    if "://" in name:
        return "must not be an address: recipes name Hub ids and folders only."
    return None


def _read_pretrained(value: Any, faults: list[str]) -> bool | str:
    if isinstance(value, bool):
        return value
    fault = _location_fault(value) if isinstance(value, str) else "must be true, false, or where the weights are."
    if fault is not None:
        faults.append(f"backbone.pretrained: given {shown(value)}, {fault}")
        return False
    return value


def _read_config(source: str, config: Any, faults: list[str], notes: list[str]) -> dict[str, Any] | None:
    if config is None:
        return None
    if not isinstance(config, dict):
        faults.append(
            f"backbone.config: given {shown(config)}, must be null or a mapping such as {{model_type: resnet}}."
        )
        return None
    if source == "timm":
        faults.append(
            "backbone.config: a timm architecture is given by its name alone; its arguments go into backbone.args."
        )
        return None
    if source != "hf":
        faults.extend(faults_of("backbone.config", config, PLAIN_DATA))
        return config
    model_type = config.get("model_type")
    families = config_families()
    fields = config_fields(model_type) if isinstance(model_type, str) else None
    if fields is None:
        if model_type is None:
            faults.append(f"backbone.config.model_type is missing; allowed: {', '.join(families)}.")
        else:
            given = model_type if isinstance(model_type, str) else shown(model_type)
            faults.append(
                f"backbone.config.model_type: {shown(model_type)} is not built here; "
                f"{nearest(given[:MAX_TEXT], families)}{_any_config()}"
            )
        return None
    assert isinstance(model_type, str)
    ignored = ignored_config_fields(model_type)
    # Copied from a config.json it holds words that somebody else wrote; typed by hand it may be misspelt.
    is_copied = any(mark in config for mark in _MARKS_OF_A_FILE)
    idle: list[str] = []
    read: dict[str, Any] = {"model_type": model_type}
    nearest_field = NearestNames(fields)
    for key, value in config.items():
        if key == "model_type" or key in ignored or (key == "stage_names" and is_copied):
            continue
        path = shown_path(f"backbone.config.{key}")
        if key in ("out_features", "out_indices", "stage_names"):
            faults.append(f"{path}: which maps are returned is set by backbone.out_indices or backbone.out_features.")
        elif key not in fields and is_copied:
            idle.append(key)
        elif key not in fields:
            faults.append(f"{path}: {model_type} has no such field; {nearest_field(key)}{_any_config()}")
        else:
            faults.extend(faults_of(path, value, fields[key]["schema"]))
            read[key] = value
    notes.extend(ignored_note("backbone.config", idle, fields))
    return read


def _any_config() -> str:
    # Only where the optional source is installed can it be the fix.
    return " source: transformers reads any configuration." if is_known("backbone", "transformers") else ""


def _read_selection(data: dict[str, Any], faults: list[str]) -> dict[str, tuple[Any, ...] | None]:
    given = {key: data[key] for key in SELECTIONS if data.get(key) is not None and data[key] != "auto"}
    if len(given) > 1:
        faults.append(f"{' and '.join(f'backbone.{key}' for key in given)} choose the same thing; give one of them.")
    selection: dict[str, tuple[Any, ...] | None] = {}
    for key, value in given.items():
        path = f"backbone.{key}"
        if isinstance(value, str) and key != "out_features":
            hint = " in square brackets without quotes inside the value" if value[:1] in "[(" else ""
            faults.append(f"{path}: given {shown(value)}, must be auto or a list such as [1,2,3,4]{hint}.")
            continue
        # One index, stride or name is a list of one.
        value = value if isinstance(value, list) else [value]
        found = faults_of(path, value, SCHEMAS[key]) or _order_faults(path, key, value)
        faults.extend(found)
        if not found:
            selection[key] = tuple(value)
    return selection


def _order_faults(path: str, key: str, value: list[Any]) -> list[str]:
    if len(set(value)) < len(value):
        return [f"{path}: {shown(value)} names one map twice; did you mean {shown(_ordered(key, value))}?"]
    # Positive and negative indices can only be compared once the number of stages is known.
    is_comparable = key == "out_strides" or (key == "out_indices" and len({index < 0 for index in value}) == 1)
    if is_comparable and value != sorted(value):
        return [f"{path}: {shown(value)} is not in network order; did you mean {shown(sorted(value))}?"]
    return []


def _ordered(key: str, value: list[Any]) -> list[Any]:
    return list(dict.fromkeys(value)) if key == "out_features" else sorted(set(value))


def _read_args(args: Any, faults: list[str]) -> dict[str, Any]:
    if args is None:
        return {}
    if not isinstance(args, dict):
        faults.append(f"backbone.args: given {shown(args)}, must be a mapping of the architecture's arguments.")
        return {}
    for key, value in args.items():
        path = shown_path(f"backbone.args.{key}")
        if key in _NOT_ARGUMENTS:
            faults.append(f"{path} is refused: {_NOT_ARGUMENTS[key]}.")
        elif not _KEYWORD.fullmatch(key):
            faults.append(f"{path} is no name of an argument.")
        else:
            faults.extend(faults_of(path, value, PLAIN_DATA) or _word_faults(path, value))
    return args


def _word_faults(path: str, value: Any) -> list[str]:
    """Texts in arguments are plain words: a dotted one could name something to import."""
    if isinstance(value, str) and not _WORD.fullmatch(value):
        return [f"{path}: given {shown(value)}, must be a plain word."]
    if isinstance(value, list):
        return [fault for item in value for fault in _word_faults(path, item)]
    if isinstance(value, dict):
        return [fault for key, item in value.items() for fault in _word_faults(f"{path}.{key}", item)]
    return []
