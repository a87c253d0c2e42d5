"""UPerNet as transformers saves it.

Source: transformers/models/upernet/{configuration,modeling}_upernet.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from backbonekit.contract.features import octave
from backbonekit.contract.options import Channels, Range, Weight
from backbonekit.contract.requirements import PYRAMID_STRIDES
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, read_apart, unused
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, nested_config, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, combine

_AUXILIARY_LEVEL = 2  # which map transformers' auxiliary head reads, whatever their number
_MAX_SCALES = 16
# What transformers fills in where a file has none.
_DEFAULT_BACKBONE = {"model_type": "resnet", "out_features": ["stage1", "stage2", "stage3", "stage4"]}


@dataclass(kw_only=True)
class UperNetFields(ModelFields):
    """Fields of UPerNet. `auxiliary_in_channels`: of the map that the auxiliary head reads, which must agree with the
    backbone."""

    hidden_size: Channels = 512
    initializer_range: float = unused(0.02)
    pool_scales: Sequence[int] = read_apart((1, 2, 3, 6))
    use_auxiliary_head: bool = True
    auxiliary_loss_weight: Weight = 0.4
    auxiliary_in_channels: int | None = read_apart(None)
    auxiliary_channels: Channels = 256
    auxiliary_num_convs: int = only(1, "the auxiliary head has one convolution before its classifier")
    auxiliary_concat_input: bool = only(False, "the auxiliary head concatenates nothing to its hidden map")
    loss_ignore_index: Annotated[int, Range(-1, 1_000_000)] = 255


@dataclass(frozen=True, slots=True)
class UPerNetCheckpoint:
    """Both ways between transformers' UPerNet and the head `upernet`."""

    architectures: tuple[str, ...] = ("UperNetForSemanticSegmentation",)
    head: str = "upernet"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = UperNetFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        head: dict[str, Any] = {
            "name": "upernet",
            "channels": fields.hidden_size,
            "scales": _scales(config.get("pool_scales"), faults),
            "dropout": 0.0,  # transformers has none
            "auxiliary": fields.use_auxiliary_head,
            "auxiliary_channels": fields.auxiliary_channels,
            "auxiliary_level_index": _AUXILIARY_LEVEL,
            "criterion": {
                "name": "dense_cross_entropy",
                "auxiliary_weight": fields.auxiliary_loss_weight,
                "ignore_label": fields.loss_ignore_index,
            },
        }
        given = config.get("auxiliary_in_channels")
        if backbone is not None:
            head["num_deepest_levels"] = _deepest(backbone, head["auxiliary"], given, faults)
        if faults or backbone is None:
            raise RecipeError([f"UperNet config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            **({"training": backbone.training} if backbone.training else {}),
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "UPerNet")
        head = parts.head
        channels = [level.channels for level in parts.levels]
        return parts.config(
            "upernet",
            self.architectures[0],
            UperNetFields,
            hidden_size=head["channels"],
            pool_scales=list(head["scales"]),
            use_auxiliary_head=head["auxiliary"],
            auxiliary_channels=head["auxiliary_channels"],
            auxiliary_in_channels=channels[min(_AUXILIARY_LEVEL, len(channels) - 1)],
            loss_ignore_index=parts.ignore_label,
            **parts.of_criterion({"auxiliary_loss_weight": "auxiliary_weight"}),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, UperNetFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "backbone"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        return {**written, **idle_of_backbone(written, nested, prefix)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """The names of the weights, both ways."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None:
            raise RecipeError([f"UperNet config.json: {fault}" for fault in faults])
        return combine(backbone.key_map.under("backbone", "backbone"), _decoder_names(), _auxiliary_names())


UPERNET = UPerNetCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    nested = nested_config(config, faults, _DEFAULT_BACKBONE)
    return None if nested is None else read_nested(nested, faults)


def _scales(value: Any, faults: list[str]) -> list[int]:
    if value is None:
        return [1, 2, 3, 6]
    whole = isinstance(value, list | tuple) and all(type(scale) is int and scale >= 1 for scale in value)
    if not whole or not 1 <= len(value) <= _MAX_SCALES:
        faults.append(
            f"pool_scales={str(value)[:60]} is not supported: it must be 1 to {_MAX_SCALES} whole numbers of at least "
            f"1, such as [1, 2, 3, 6]."
        )
        return [1, 2, 3, 6]
    return list(value)


def _deepest(backbone: NestedBackbone, auxiliary: bool, in_channels: Any, faults: list[str]) -> int:
    """0 where the maps are those of strides 4 to 32, else how many there are."""
    if backbone.levels is None:
        faults.append(
            "backbone_config names no out_features, so transformers returns the last map alone; UPerNet requires "
            "several. The fix: out_features of four stages."
        )
        return 0
    levels = backbone.levels
    if auxiliary and len(levels) <= _AUXILIARY_LEVEL:
        faults.append(
            f"backbone_config has {len(levels)} map{'s' if len(levels) > 1 else ''}; the auxiliary head reads the "
            f"third. The fix: use_auxiliary_head=false, or more out_features."
        )
    elif auxiliary and in_channels is not None and in_channels != levels[_AUXILIARY_LEVEL].channels:
        faults.append(
            f"auxiliary_in_channels={str(in_channels)[:60]} is not supported: the map that the auxiliary head reads "
            f"({levels[_AUXILIARY_LEVEL].name}) has {levels[_AUXILIARY_LEVEL].channels}."
        )
    if tuple(octave(level.stride) for level in levels) == tuple(octave(stride) for stride in PYRAMID_STRIDES):
        return 0
    return len(levels)


def _decoder_names() -> KeyMap:
    blocks = {
        "psp_modules.{i}.1": "pooling.pooled.{i}.projection",
        "bottleneck": "pooling.merge",
        "lateral_convs.{i}": "lateral.{i}",
        "fpn_convs.{i}": "output.{i}",
        "fpn_bottleneck": "merge",
    }
    rules = [Rename("classifier", "classifier")]
    for theirs, ours in blocks.items():
        rules += [Rename(f"{theirs}.conv", f"{ours}.convolution"), Rename(f"{theirs}.batch_norm", f"{ours}.norm")]
    return KeyMap(rules).under("decode_head", "head")


def _auxiliary_names() -> KeyMap:
    return KeyMap(
        [
            Rename("convs.0.conv", "convolution"),
            Rename("convs.0.batch_norm", "norm"),
            Rename("classifier", "classifier"),
        ]
    ).under("auxiliary_head", "head.auxiliary_classifier")
