"""The nested `backbone_config` of transformers' models: a recipe's backbone, its levels, its weights' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backbonekit.backbones.hf import blueprint as hf_source
from backbonekit.backbones.hf.model_types import family, model_types
from backbonekit.backbones.timm import blueprint as timm_source
from backbonekit.backbones.timm.feature_names import timm_feature_names
from backbonekit.contract.features import Level
from backbonekit.contract.indices import indices_of_features, normalise_indices
from backbonekit.contract.options import Channels, Stride
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, read_apart, unsupported
from backbonekit.weights.key_map import KeyMap

TIMM = "timm_backbone"
_TRAINING_ONLY = ("drop_rate", "drop_path_rate", "drop_block_rate", "dropout")  # ends of names of timm's arguments
# Fields of a backbone's configuration that say which maps are returned.
_SELECTION = ("out_indices", "out_features", "_out_indices", "_out_features")


@dataclass(frozen=True, slots=True)
class NestedBackbone:
    """`recipe`: the `backbone` of a flat recipe. `levels`: the maps that it returns; None where none are chosen.
    `key_map`: from the names under transformers' prefix of the backbone to those under ours. `training`: the recipe's
    `training`, what the configuration has about freezing, or nothing."""

    recipe: dict[str, Any]
    levels: tuple[Level, ...] | None
    key_map: KeyMap
    training: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class TimmBackboneFields(ModelFields):
    """Of a `timm_backbone` beside the name of the architecture. `backbone_kwargs`: more arguments of it."""

    # Releases before 5 write `use_timm_backbone` here too.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"stage_names", "use_pretrained_backbone", "use_timm_backbone", *_SELECTION}
    )
    read_elsewhere: ClassVar[tuple[str, ...]] = ("backbone",)

    num_channels: Channels = 3
    output_stride: Stride | None = None
    features_only: bool = only(True, "a backbone returns maps")
    freeze_batch_norm_2d: bool = False
    backbone_kwargs: Mapping[str, Any] | None = read_apart(None)


def read_backbone(config: Mapping[str, Any], *, wrapped: bool = True) -> NestedBackbone:
    """Raises RecipeError and ContractError with messages that begin with the field's path. `wrapped`: see
    `timm_feature_names`."""
    model_type = config.get("model_type")
    if model_type == TIMM:
        return _read_timm(config, wrapped)
    if model_type not in model_types():
        given = str(model_type)[:60]
        raise RecipeError(
            f"backbone_config.model_type={given!r} is not supported; {nearest(given, [*model_types(), TIMM])}"
        )
    config = _with_num_channels(config)
    in_channels = config.get("num_channels") or 3
    blueprint = hf_source.of_config(config, in_channels=in_channels, args={})
    indices = _indices(config, blueprint.levels)
    recipe = _recipe("hf", None, indices, in_channels, config=dict(blueprint.config))
    table = blueprint.family.key_map(blueprint.architecture)
    if indices is None:
        return NestedBackbone(recipe, None, table)
    levels = tuple(blueprint.levels[index] for index in indices)
    table = table.keeping(lambda name: blueprint.builds(name, indices))
    # Theirs has a norm for each map that it returns, ours for each that it could return.
    return NestedBackbone(recipe, levels, table.standing_in(blueprint.norms_by_name(indices)))


def nested_config(config: Mapping[str, Any], faults: list[str], default: Mapping[str, Any] | None) -> Any:
    """The `backbone_config` of a whole model's `config.json`, or what the fields of older releases say: `backbone`,
    `use_timm_backbone`, `backbone_kwargs`. `default`: what transformers fills in where a file has neither. None, with a
    message in `faults`, for a backbone whose configuration is elsewhere."""
    nested, name = config.get("backbone_config"), config.get("backbone")
    if name is None:
        return default if nested is None else nested
    if nested is not None:
        faults.append(unsupported("backbone", name, "backbone_config says it already"))
        return nested
    if config.get("use_timm_backbone") is not True:
        faults.append(
            f"backbone={str(name)[:60]!r} without a backbone_config: its architecture is not in this file. The fix: "
            f"its config.json as backbone_config."
        )
        return None
    return {"model_type": TIMM, "backbone": name, **timm_fields(config.get("backbone_kwargs"))}


def timm_fields(backbone_kwargs: Any) -> dict[str, Any]:
    """`backbone_kwargs` as fields of a `timm_backbone`; what is no field of it is an argument of the architecture."""
    given = dict(backbone_kwargs) if isinstance(backbone_kwargs, Mapping) else {}
    if "in_chans" in given:  # timm's word for it, as releases before 5 write it
        given["num_channels"] = given.pop("in_chans")
    arguments = {name: given.pop(name) for name in TimmBackboneFields.unknown_words(given)}
    return {**given, **({"backbone_kwargs": arguments} if arguments else {})}


def read_nested(nested: Any, faults: list[str], *, wrapped: bool = True) -> NestedBackbone | None:
    """What a file has as its `backbone_config`. None, with messages in `faults`, where it has no counterpart."""
    if not isinstance(nested, Mapping):
        faults.append("backbone_config is no mapping.")
        return None
    try:
        return read_backbone(nested, wrapped=wrapped)
    except RecipeError as error:
        faults.extend(error.faults)
    except ContractError as error:
        faults.append(f"backbone_config: {error}")
    return None


def notes_on(config: Mapping[str, Any], fields: type[ModelFields]) -> tuple[str, ...]:
    """Which words of a whole model's `config.json` are ignored, its `backbone_config` included. `fields`: the class
    that reads it."""
    found = fields.notes_on(config, "config.json")
    nested = config.get("backbone_config")
    if not isinstance(nested, Mapping):
        return found
    model_type = nested.get("model_type")
    if model_type == TIMM:
        return (*found, *TimmBackboneFields.notes_on(nested, "backbone_config"))
    if model_type not in model_types():
        return found  # an error of the reader
    return (*found, *family(str(model_type)).config_class.notes_on(_with_num_channels(nested), "backbone_config"))


def _with_num_channels(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first MaskFormers on the Hub write `in_channels`."""
    if "in_channels" not in config:
        return config
    return {"num_channels": config["in_channels"], **{k: v for k, v in config.items() if k != "in_channels"}}


def _read_timm(config: Mapping[str, Any], wrapped: bool) -> NestedBackbone:
    faults: list[str] = []
    fields = TimmBackboneFields.read(config, faults, path="backbone_config.")
    name, in_channels, output_stride = config.get("backbone"), fields.num_channels, fields.output_stride
    if not isinstance(name, str):
        faults.append(
            f"backbone_config.backbone={str(name)[:60]!r} is not supported: it must name a timm architecture."
        )
    if faults:
        raise RecipeError(faults)
    args = dict(fields.backbone_kwargs or {})
    if output_stride is not None:
        args["output_stride"] = output_stride
    blueprint = timm_source.blueprint(name, config=None, revision=None, in_channels=in_channels, args=args)
    indices = _indices(config, blueprint.levels)
    built = blueprint.default_indices if indices is None else indices
    return NestedBackbone(
        _recipe("timm", name, indices, in_channels, args=args),
        None if indices is None else tuple(blueprint.levels[index] for index in indices),
        timm_feature_names(blueprint, built, wrapped=wrapped),
        # In eval mode frozen norms compute what the others do, so this is advice for whoever trains.
        {"freeze": {"norms": True}} if fields.freeze_batch_norm_2d else {},
    )


def _indices(config: Mapping[str, Any], levels: Sequence[Level]) -> tuple[int, ...] | None:
    names = [level.name for level in levels]
    try:
        for key in ("out_indices", "_out_indices"):
            if config.get(key) is not None:
                return normalise_indices(config[key], names)
        for key in ("out_features", "_out_features"):
            if config.get(key) is not None:
                return indices_of_features(config[key], names)
    except ContractError as error:
        raise RecipeError(f"backbone_config: {error}") from error
    return None


def _recipe(
    source: str,
    name: str | None,
    indices: tuple[int, ...] | None,
    in_channels: int,
    *,
    config: dict[str, Any] | None = None,
    args: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "source": source,
        "name": name,
        "config": config,
        "pretrained": False,
        "revision": None,
        "out_indices": "auto" if indices is None else list(indices),
        "in_channels": in_channels,
        "args": args or {},
    }


def written_backbone(backbone: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """The `backbone_config` of the `backbone` of a flat recipe, whose maps are chosen: what `read_backbone` reads as
    the same. Adds to `faults` what transformers has no field for."""
    indices, args = backbone.get("out_indices"), dict(backbone.get("args") or {})
    if not isinstance(indices, list):
        faults.append("backbone.out_indices: which maps are read is not given. The fix: save a model that was built.")
        return {}
    if backbone["source"] == "timm":
        return _written_timm(backbone, indices, args, faults)
    if backbone["source"] != "hf" or backbone.get("config") is None:
        faults.append(
            f"backbone.source={backbone['source']}: only backbones of source hf and timm are written as transformers"
            " names their weights. The fix: one of these."
        )
        return {}
    in_channels = backbone["in_channels"]
    blueprint = hf_source.of_config(backbone["config"], in_channels=in_channels, args=args)
    usual = hf_source.of_config(backbone["config"], in_channels=in_channels, args={})
    fields = {**blueprint.config, **{name: value for name, value in args.items() if name != "norm"}}
    if "apply_layernorm" in fields and {blueprint.norm, usual.norm} <= {"final", "none"}:
        fields["apply_layernorm"] = blueprint.norm == "final"
    elif (blueprint.norm, blueprint.normalises_vectors) != (usual.norm, usual.normalises_vectors):
        faults.append(
            f"backbone.args.norm={args['norm']}: transformers normalises the maps of a {blueprint.family.model_type} as"
            f" norm={usual.norm} does, and no field says otherwise."
        )
    last = len(blueprint.levels) - 1
    if indices[-1] != last:
        faults.append(
            f"backbone.out_indices={indices}: transformers builds every stage up to {last}, and this model has no"
            f" weights after {indices[-1]}. The fix: out_indices that end with {last}."
        )
    if "reshape_hidden_states" in fields:
        fields["reshape_hidden_states"] = True  # maps, not tokens
    if "stage_out_channels" in fields:  # of HGNet v2, whose maps transformers says to have `hidden_sizes`
        fields["hidden_sizes"] = list(fields["stage_out_channels"])
    if "mlp_ratios" in fields:  # whole numbers alone, in transformers
        fields["mlp_ratios"] = [int(ratio) if ratio == int(ratio) else ratio for ratio in fields["mlp_ratios"]]
    return {**fields, "num_channels": in_channels, "out_indices": list(indices)}


def _written_timm(
    backbone: Mapping[str, Any], indices: list[int], args: dict[str, Any], faults: list[str]
) -> dict[str, Any]:
    owner, _, name = str(backbone["name"]).removeprefix("hf-hub:").rpartition("/")
    if owner not in ("", "timm"):
        faults.append(
            f"backbone.name={backbone['name']}: transformers builds architectures of timm by name alone. The fix: the"
            " name of the architecture, with backbone.pretrained as the folder or repository."
        )
    written = {"model_type": TIMM, "backbone": name, "num_channels": backbone["in_channels"]}
    if "output_stride" in args:
        written["output_stride"] = args.pop("output_stride")
    if args.get("norm") == "none":
        del args["norm"]  # the default
    for key, value in args.items():
        if not key.endswith(_TRAINING_ONLY):
            faults.append(
                f"backbone.args.{key}={value!r}: transformers builds an architecture of timm with output_stride and no"
                " other argument."
            )
    return {**written, "out_indices": list(indices)}
