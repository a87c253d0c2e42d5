"""Image classifiers as transformers saves them: a backbone's model, pooling, a linear layer.

Source: transformers/models/*/modeling_*.py, the classes ...ForImageClassification.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backbonekit.backbones.hf import blueprint as hf_source
from backbonekit.errors import ContractError, RecipeError
from backbonekit.heads.classification import timm_checkpoint as timm_wrapper
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone
from backbonekit.heads.shared_checkpoint.written_config import class_fields
from backbonekit.weights.key_map import KeyMap, Rename, combine

_EPSILON = 1e-6  # of the norm in the head


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class of transformers. `prefix`: of the backbone's weights. `norm`: how the backbone normalises its last map.
    `head_norm`: the name of the norm between pooling and classifier, None without one."""

    architecture: str
    prefix: str
    pool: str = "average"
    classifier: str = "classifier"
    norm: str = "none"
    head_norm: str | None = None


# Swin and Swin V2 are not among them: on a map no larger than a window their classifiers do not shift it, and their
# backbones do.
_TOKENS = "class_token_and_average"
_KINDS: Mapping[str, _Kind] = {
    "resnet": _Kind("ResNetForImageClassification", "resnet", classifier="classifier.1"),
    "hgnet_v2": _Kind("HGNetV2ForImageClassification", "", classifier="fc"),
    "pvt_v2": _Kind("PvtV2ForImageClassification", "pvt_v2"),
    "dinov2": _Kind("Dinov2ForImageClassification", "dinov2", pool=_TOKENS, norm="final"),
    "dinov2_with_registers": _Kind(
        "Dinov2WithRegistersForImageClassification", "dinov2_with_registers", pool=_TOKENS, norm="final"
    ),
    "convnext": _Kind("ConvNextForImageClassification", "convnext", head_norm="layernorm"),
    "convnextv2": _Kind("ConvNextV2ForImageClassification", "convnextv2", head_norm="layernorm"),
}


@dataclass(frozen=True, slots=True)
class ClassificationCheckpoint:
    """Both ways between transformers' classifiers and a backbone with the head `classification`."""

    architectures: tuple[str, ...] = (*(kind.architecture for kind in _KINDS.values()), timm_wrapper.ARCHITECTURE)
    head: str = "classification"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        labels, num_classes = _classes(config, faults)
        if config.get("model_type") == timm_wrapper.MODEL_TYPE:
            if faults:
                raise RecipeError([f"{timm_wrapper.ARCHITECTURE} config.json: {fault}" for fault in faults])
            return timm_wrapper.timm_recipe(config, labels, num_classes)
        kind, blueprint = _blueprint(config)
        epsilon = blueprint.config.get("layer_norm_eps")
        if kind.head_norm is not None and epsilon != _EPSILON:
            faults.append(
                f"layer_norm_eps={epsilon} is not supported: the norm behind the pooling has {_EPSILON}. The fix, for"
                " the backbone alone: a recipe with backbone.name."
            )
        if faults:
            raise RecipeError([f"{kind.architecture} config.json: {fault}" for fault in faults])
        head = {
            "name": "classification",
            "pool": kind.pool,
            "norm": "none" if kind.head_norm is None else "layer",
        }
        return {
            "schema_version": 2,
            "backbone": {
                "source": "hf",
                "name": None,
                "config": blueprint.config,
                "pretrained": False,
                "revision": None,
                "out_indices": [_last(blueprint)],
                "in_channels": blueprint.in_channels,
                "args": _norm_argument(kind, config),
            },
            "neck": None,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        backbone, head = recipe["backbone"], recipe["head"]
        if backbone["source"] == "timm":
            return timm_wrapper.timm_config(recipe)
        model_type = (backbone["config"] or {}).get("model_type")
        if backbone["source"] != "hf" or model_type is None or model_type not in _KINDS:
            raise RecipeError(
                [
                    f"backbone: transformers' classifiers are written of {', '.join(sorted(_KINDS))} of source hf, and"
                    f" this backbone is {model_type or backbone['name']} of source {backbone['source']}."
                ]
            )
        kind, args = _KINDS[model_type], dict(backbone["args"])
        blueprint = hf_source.of_config(backbone["config"], in_channels=backbone["in_channels"], args=args)
        faults = [] if recipe["neck"] is None else ["neck: a classifier of transformers has none."]
        if blueprint.norm != kind.norm:
            faults.append(
                f"backbone.args.norm={blueprint.norm}: {kind.architecture} normalises the last map as norm={kind.norm}."
                f" The fix: backbone.args.norm={kind.norm}, and training."
            )
        if backbone["out_indices"][-1] != _last(blueprint):
            faults.append(f"backbone.out_indices={backbone['out_indices']}: {kind.architecture} reads the last map.")
        if faults:
            raise RecipeError(faults)
        fields = {**blueprint.config, **{name: value for name, value in args.items() if name != "norm"}}
        if "stage_out_channels" in fields:  # of HGNet v2, whose classifier reads `hidden_sizes`
            fields["hidden_sizes"] = list(fields["stage_out_channels"])
        if "mlp_ratios" in fields:  # whole numbers alone, in transformers
            fields["mlp_ratios"] = [int(ratio) if ratio == int(ratio) else ratio for ratio in fields["mlp_ratios"]]
        if kind.head_norm is not None and head["norm"] == "layer":
            fields["layer_norm_eps"] = _EPSILON
        return {
            **fields,
            "num_channels": backbone["in_channels"],
            "architectures": [kind.architecture],
            **class_fields(recipe),
        }

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return () if config.get("model_type") == timm_wrapper.MODEL_TYPE else _blueprint(config)[1].notes

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        written = self.key_map(config).reverse(state_dict)
        if config.get("model_type") == timm_wrapper.MODEL_TYPE:
            return written
        kind, _ = _blueprint(config)
        if not kind.prefix.startswith("dinov2"):
            return written
        return {**written, **idle_of_backbone(written, config, kind.prefix)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk."""
        if config.get("model_type") == timm_wrapper.MODEL_TYPE:
            return timm_wrapper.timm_names(config, _classes(config, [])[1])
        kind, blueprint = _blueprint(config)
        table = blueprint.family.key_map(blueprint.architecture)
        positions = (_last(blueprint),)
        names = [Rename(kind.classifier, "head.classifier")]
        if kind.head_norm is not None:
            names.append(Rename(f"{kind.prefix}.{kind.head_norm}", "head.norm"))
        kept = table.keeping(lambda name: blueprint.builds(name, positions))
        return combine(KeyMap(names), kept.under(kind.prefix, "backbone"))


CLASSIFICATION = ClassificationCheckpoint()


def _classes(config: Mapping[str, Any], faults: list[str]) -> tuple[list[str] | None, int]:
    """Names of the classes, which timm writes as a list, and how many there are."""
    names = config.get("label_names")
    if isinstance(names, list) and config.get("id2label") is None:
        return read_class_names({"id2label": dict(enumerate(names))}, faults)
    return read_class_names(
        {"num_labels": config["num_classes"], **config} if "num_classes" in config else config, faults
    )


def _blueprint(config: Mapping[str, Any]) -> tuple[_Kind, hf_source.HFBlueprint]:
    """The backbone, normalised as the classifier reads it."""
    model_type = config.get("model_type")
    if model_type is None or model_type not in _KINDS:
        raise RecipeError(f"config.json: model_type={str(model_type)[:60]!r} is no classifier that is read here.")
    kind = _KINDS[model_type]
    in_channels = config.get("num_channels") or 3
    try:
        return kind, hf_source.of_config(config, in_channels=in_channels, args=_norm_argument(kind, config))
    except ContractError as error:
        raise RecipeError(f"{kind.architecture} config.json: {error}") from error


def _norm_argument(kind: _Kind, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `backbone.args` need for the norm of this kind; nothing where it is the usual one of the family."""
    usual = hf_source.of_config(config, in_channels=config.get("num_channels") or 3, args={}).norm
    return {} if usual == kind.norm else {"norm": kind.norm}


def _last(blueprint: hf_source.HFBlueprint) -> int:
    return len(blueprint.levels) - 1
