"""Image classifiers on an architecture of timm, as transformers' TimmWrapper and timm itself save them.

Source: transformers/models/timm_wrapper/{configuration,modeling}_timm_wrapper.py.
"""

from collections.abc import Mapping
from typing import Any

import timm
import torch

from backbonekit.backbones.timm import blueprint as timm_source
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.shared_checkpoint.written_config import class_fields
from backbonekit.weights.key_map import KeyMap, Rename, combine

ARCHITECTURE, MODEL_TYPE = "TimmWrapperForImageClassification", "timm_wrapper"
# Classes of timm that do nothing between the last map and the classifier but average it, and perhaps normalise it: the
# names of the classifier and of that norm.
_BODIES: Mapping[str, tuple[str, str | None]] = {
    "ResNet": ("fc", None),
    "RegNet": ("head.fc", None),
    "ConvNeXt": ("head.fc", "head.norm"),
}


def timm_recipe(config: Mapping[str, Any], labels: list[str] | None, num_classes: int) -> dict[str, Any]:
    """A flat recipe. Raises RecipeError for an architecture that is not read here."""
    name, arguments = config.get("architecture"), dict(config.get("model_args") or {})
    if not isinstance(name, str):
        raise RecipeError("config.json: architecture must name an architecture of timm.")
    in_channels = arguments.pop("in_chans", 3)
    norm = _BODIES[_body(name, arguments, num_classes)][1]
    blueprint = timm_source.blueprint(name, config=None, revision=None, in_channels=in_channels, args=arguments)
    head = {"name": "classification", "pool": "average", "norm": "none" if norm is None else "layer"}
    return {
        "schema_version": 2,
        "backbone": {
            "source": "timm",
            "name": name,
            "config": None,
            "pretrained": False,
            "revision": None,
            "out_indices": [len(blueprint.levels) - 1],
            "in_channels": in_channels,
            "args": arguments,
        },
        "neck": None,
        "head": head if labels else {**head, "num_classes": num_classes},
        "labels": labels,
    }


def timm_config(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The content of the `config.json` of a recipe on an architecture of timm. Raises RecipeError."""
    backbone, head = recipe["backbone"], recipe["head"]
    owner, _, name = str(backbone["name"]).removeprefix("hf-hub:").rpartition("/")
    if owner not in ("", "timm"):
        raise RecipeError([f"backbone.name={backbone['name']}: an architecture of timm is written by name alone."])
    arguments = {key: value for key, value in backbone["args"].items() if (key, value) != ("norm", "none")}
    _body(name, arguments, head["num_classes"])
    blueprint = timm_source.blueprint(
        name, config=None, revision=None, in_channels=backbone["in_channels"], args=arguments
    )
    faults = [] if recipe["neck"] is None else ["neck: a classifier of transformers has none."]
    if backbone["out_indices"][-1] != len(blueprint.levels) - 1:
        faults.append(f"backbone.out_indices={backbone['out_indices']}: the classifier reads the last map.")
    if faults:
        raise RecipeError(faults)
    if backbone["in_channels"] != 3:
        arguments["in_chans"] = backbone["in_channels"]
    names = class_fields(recipe)["id2label"]
    return {
        "model_type": MODEL_TYPE,
        "architectures": [ARCHITECTURE],
        "architecture": name.partition(".")[0],
        "num_classes": head["num_classes"],
        "label_names": list(names.values()),
        **({"model_args": arguments} if arguments else {}),
    }


def timm_names(config: Mapping[str, Any], num_classes: int) -> KeyMap:
    """timm's names and ours."""
    name, arguments = str(config["architecture"]), dict(config.get("model_args") or {})
    classifier, norm = _BODIES[_body(name, arguments, num_classes)]
    rules = [Rename(classifier, "head.classifier"), *([] if norm is None else [Rename(norm, "head.norm")])]
    body = KeyMap([Rename("", "")], prefixes=["timm_model"]).under("", "backbone.body")
    return combine(KeyMap(rules, prefixes=["timm_model"]), body)


def _body(name: str, arguments: Mapping[str, Any], num_classes: int) -> str:
    """The class of an architecture, one of `_BODIES` whose weights are those of ours. Raises RecipeError."""
    with torch.device("meta"):
        try:
            whole = timm.create_model(name, pretrained=False, num_classes=num_classes, **arguments)
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            raise RecipeError(f"backbone.name={name!r}: timm does not build it as a classifier: {error}") from error
    kind = type(whole).__name__
    if not type(whole).__module__.startswith("timm.models.") or kind not in _BODIES:
        raise RecipeError(
            f"backbone: classifiers on timm's {kind} are not written: it does more between the last map and the"
            f" classifier than to average it; {nearest(kind, list(_BODIES))}"
        )
    in_channels = arguments.get("in_chans", 3)
    own = {key: value for key, value in arguments.items() if key != "in_chans"}
    try:
        blueprint = timm_source.blueprint(name, config=None, revision=None, in_channels=in_channels, args=own)
    except ContractError as error:
        raise RecipeError(f"backbone: {error}") from error
    ours = {key.removeprefix("body.") for key in blueprint.construct(blueprint.default_indices).state_dict()}
    head = tuple(f"{part}." for part in _BODIES[kind] if part is not None)
    theirs = {key for key in whole.state_dict() if not key.startswith(head)}
    if ours != theirs:
        raise RecipeError(f"backbone.name={name!r}: timm's classifier and its maps differ in {min(ours ^ theirs)}.")
    return kind
