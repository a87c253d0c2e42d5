"""The nested `backbone_config` of transformers' models: a recipe's backbone, its levels, its weights' names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from backbonekit.backbones.hf import blueprint as hf_source
from backbonekit.backbones.hf.model_types import model_types
from backbonekit.backbones.timm import blueprint as timm_source
from backbonekit.backbones.timm.feature_names import timm_feature_names
from backbonekit.contract.features import Level
from backbonekit.contract.indices import indices_of_features, normalise_indices
from backbonekit.contract.options import Channels, Stride
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only
from backbonekit.weights.key_map import KeyMap

TIMM = "timm_backbone"
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
    """Of a `timm_backbone` beside the name of the architecture."""

    # Releases before 5 write `use_timm_backbone` here too.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"stage_names", "use_pretrained_backbone", "use_timm_backbone", *_SELECTION}
    )
    read_elsewhere: ClassVar[tuple[str, ...]] = ("backbone",)

    num_channels: Channels = 3
    output_stride: Stride | None = None
    features_only: bool = only(True, "a backbone returns maps")
    freeze_batch_norm_2d: bool = False


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
    if "in_channels" in config:
        # As the first MaskFormers on the Hub write it.
        config = {"num_channels": config["in_channels"], **{k: v for k, v in config.items() if k != "in_channels"}}
    in_channels = config.get("num_channels") or 3
    blueprint = hf_source.blueprint(None, config=config, revision=None, in_channels=in_channels, args={})
    indices = _indices(config, blueprint.levels)
    recipe = _recipe("hf", None, indices, in_channels, config=dict(blueprint.config))
    table = blueprint.family.key_map(blueprint.architecture)
    if indices is None:
        return NestedBackbone(recipe, None, table)
    levels = tuple(blueprint.levels[index] for index in indices)
    table = table.keeping(lambda name: blueprint.builds(name, indices))
    # Theirs has a norm for each map that it returns, ours for each that it could return.
    return NestedBackbone(recipe, levels, table.standing_in(blueprint.norms_by_name(indices)))


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
    args = {} if output_stride is None else {"output_stride": output_stride}
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
