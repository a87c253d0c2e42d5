"""Names of timm architectures, repositories in timm's own format, and what timm states about the weights of a name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any, get_args

import timm
from timm.models import PretrainedCfg, get_arch_pretrained_cfgs, get_pretrained_cfg, is_model, split_model_name_tag

from backbonekit.contract.option_values import faults_of
from backbonekit.contract.processing import Interpolation, Processing
from backbonekit.errors import RecipeError, StorageError, nearest
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import user_path

_PREFIXES = ("hf-hub:", "hf_hub:", "timm/")


@dataclass(frozen=True, slots=True)
class TimmIdentity:
    """A timm architecture and its weights.

    `architecture`: without a tag. `pretrained`: what timm states about the weights that the tag names.
    `repository`: a folder or Hub repository with weights of its own, or None. `model_args`: as saved there.
    """

    architecture: str
    pretrained: PretrainedCfg
    repository: Repository | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)


def identify(name: str | None, revision: str | None) -> TimmIdentity:
    """The architecture and weights of a name: `resnet50`, `resnet50.a1_in1k`, `timm/resnet50.a1_in1k`, or a folder or
    Hub id of a model in timm's format. Raises RecipeError with the nearest name, StorageError.
    """
    if not name:
        raise RecipeError("backbone.name is needed with source: timm, such as resnet50 or convnext_tiny.fb_in1k.")
    short = name
    for prefix in _PREFIXES:
        short = short.removeprefix(prefix)
    architecture, tag = split_model_name_tag(short)
    if "/" not in short and is_model(architecture):
        known = get_arch_pretrained_cfgs(architecture)
        if tag and short not in known:
            raise RecipeError(
                f"timm has no weights {tag!r} of {architecture}; "
                + (nearest(short, known) if known else "it has none at all; leave the tag out.")
            )
        return TimmIdentity(architecture, get_pretrained_cfg(short) or PretrainedCfg(architecture=architecture))
    if "/" in short or user_path(name).is_dir():
        return _from_repository(open_repository(short, revision=revision))
    raise RecipeError(f"timm has no architecture {architecture!r}; {nearest(architecture, _architectures())}")


def _architectures() -> frozenset[str]:
    # Not cached: a user's own code may register more.
    return frozenset(timm.list_models())


def is_timm_format(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is in timm's own format."""
    return "architecture" in config and "model_type" not in config


def _from_repository(repository: Repository) -> TimmIdentity:
    config = repository.json("config.json")
    architecture = config.get("architecture")
    if not isinstance(architecture, str):
        kind = config.get("model_type")
        hint = f" It is of transformers ({kind}): use source: hf." if kind else ""
        raise RecipeError(f"{repository.origin}: config.json names no architecture of timm.{hint}")
    architecture = split_model_name_tag(architecture)[0]
    if not is_model(architecture):
        raise RecipeError(f"{repository.origin}: timm has no architecture {architecture!r}.")
    stated = {key: value for key, value in _stated(config).items() if key in _CFG_FIELDS}
    stated = {key: value for key, value in stated.items() if value is not None or key not in _SCHEMAS}
    faults = [
        fault for key, schema in _SCHEMAS.items() if key in stated for fault in faults_of(key, stated[key], schema)
    ]
    if faults:
        raise StorageError(f"{repository.origin}: config.json: {faults[0]}")
    known = {key: tuple(value) if isinstance(value, list) else value for key, value in stated.items()}
    return TimmIdentity(
        architecture,
        PretrainedCfg(**{**(known or _defaults(architecture)), "architecture": architecture}),
        repository,
        _mapping(config.get("model_args")),
    )


# The fields of a saved `pretrained_cfg` that describe the weights, without those that say where to load them from.
_CFG_FIELDS = frozenset(
    {"tag", "input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std"}
    | {"num_classes", "first_conv", "classifier", "license"}
)

_NUMBERS = {"type": "array", "items": {"type": "number", "minimum": -1e12, "maximum": 1e12}, "maxItems": 1_024}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "input_size": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 16_384},
        "minItems": 3,
        "maxItems": 3,
    },
    "crop_pct": {"type": "number", "minimum": 0.01, "maximum": 4},
    "mean": {**_NUMBERS, "minItems": 1},
    "std": {**_NUMBERS, "minItems": 1},
}


def _defaults(architecture: str) -> Mapping[str, Any]:
    """What timm states about the architecture's first weights, for a file that states nothing about its own."""
    first = get_pretrained_cfg(architecture)
    return {} if first is None else {key: value for key, value in vars(first).items() if key in _CFG_FIELDS}


def _stated(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `config.json` states about its weights: under `pretrained_cfg`, or beside the architecture, as timm wrote
    it before 0.9; nothing where it has neither."""
    if "pretrained_cfg" in config:
        return _mapping(config["pretrained_cfg"])
    return config if "input_size" in config else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def processing_of(pretrained: PretrainedCfg, size: tuple[int, int]) -> Processing:
    """The preprocessing of timm's evaluation. `size`: (height, width) of the input.

    Raises StorageError for what timm states about weights and is not done here.
    Source: timm/data/transforms_factory.py, transforms_imagenet_eval: resize to size / `crop_pct`, cut the centre.
    """
    name = pretrained.architecture
    if pretrained.interpolation not in get_args(Interpolation):
        raise StorageError(
            f"{name}: the interpolation {str(pretrained.interpolation)[:60]!r} of its weights is not supported; known:"
            f" {', '.join(get_args(Interpolation))}."
        )
    scaled = (floor(size[0] / pretrained.crop_pct), floor(size[1] / pretrained.crop_pct))
    common: dict[str, Any] = {
        "interpolation": pretrained.interpolation,
        "mean": tuple(pretrained.mean),
        "std": tuple(pretrained.std),
    }
    if pretrained.crop_mode == "squash" and scaled == size:
        return Processing(size=size, **common)
    common |= {"crop": size, "rounding": "nearest"}
    if pretrained.crop_mode == "squash":
        return Processing(size=scaled, **common)
    if pretrained.crop_mode == "border":
        return Processing(max_size=scaled, border="mean", **common)
    if scaled[0] != scaled[1]:
        raise StorageError(
            f"{name}: its weights are for images of {size[0]} x {size[1]}, whose centre is cut out of an image that"
            " keeps its aspect ratio; that is supported for squares only."
        )
    return Processing(shortest_edge=scaled[0], **common)
