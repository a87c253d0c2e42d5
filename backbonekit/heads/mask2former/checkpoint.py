"""Mask2Former as transformers saves it.

Source: transformers/models/mask2former/{configuration,modeling}_mask2former.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from backbonekit.contract.features import Level, octave
from backbonekit.contract.options import Channels, Heads, Layers, Probability, Queries, Range, Weight
from backbonekit.contract.requirements import PYRAMID_STRIDES
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, read_apart, unused
from backbonekit.heads.shared_checkpoint.idle_weights import class_weights, idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, nested_config, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, Split, combine

_ENCODED = 3  # of its pixel decoder, whatever a file says
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
# Fields, and the options of the criterion that they are.
_LOSS_OPTIONS = {
    "class_weight": "class_weight",
    "mask_weight": "mask_weight",
    "dice_weight": "dice_weight",
    "no_object_weight": "no_object_weight",
    "train_num_points": "num_points",
    "oversample_ratio": "oversample",
    "importance_sample_ratio": "importance",
}
# What transformers fills in where a file has none.
_DEFAULT_BACKBONE = {
    "model_type": "swin",
    "depths": [2, 2, 18, 2],
    "drop_path_rate": 0.3,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}


@dataclass(kw_only=True)
class Mask2FormerFields(ModelFields):
    """Fields of Mask2Former. `decoder_layers`: one more than there are, since transformers counts the prediction before
    the first layer too. `use_auxiliary_loss` is without effect: every layer is trained."""

    second_names: ClassVar[Mapping[str, str]] = {"hidden_size": "hidden_dim", "num_hidden_layers": "decoder_layers"}

    feature_size: Channels = 256
    mask_feature_size: Channels = 256
    hidden_dim: Channels = 256
    encoder_feedforward_dim: Channels = 1024
    activation_function: Literal["relu", "gelu", "silu", "swish"] = "relu"
    encoder_layers: Layers = 6
    decoder_layers: Annotated[int, Range(1, 201)] = 10
    num_attention_heads: Heads = 8
    dropout: Probability = 0.0
    dim_feedforward: Channels = 2048
    pre_norm: bool = only(False, "norms before the branches of the decoder are not built here")
    enforce_input_projection: bool = False
    common_stride: int = read_apart(4)
    ignore_value: Annotated[int, Range(-1, 1_000_000)] = 255
    num_queries: Queries = 100
    no_object_weight: Weight = 0.1
    class_weight: Weight = 2.0
    mask_weight: Weight = 5.0
    dice_weight: Weight = 5.0
    train_num_points: Annotated[int, Range(1, 10_000_000)] = 12_544
    oversample_ratio: Annotated[float, Range(1, 1_000)] = 3.0
    importance_sample_ratio: Probability = 0.75
    init_std: float = unused(0.02)
    init_xavier_std: float = unused(1.0)
    use_auxiliary_loss: bool = unused(True)
    feature_strides: Sequence[int] = read_apart(PYRAMID_STRIDES)
    output_auxiliary_logits: bool | None = unused(None)


@dataclass(frozen=True, slots=True)
class Mask2FormerCheckpoint:
    """Both ways between transformers' Mask2Former and `deformable_pixel_decoder` with `mask2former`."""

    architectures: tuple[str, ...] = ("Mask2FormerForUniversalSegmentation",)
    head: str = "mask2former"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = Mask2FormerFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        neck = {
            "name": "deformable_pixel_decoder",
            "channels": fields.feature_size,
            "mask_channels": fields.mask_feature_size,
            "num_layers": fields.encoder_layers,
            "num_heads": fields.num_attention_heads,
            "feedforward_channels": fields.encoder_feedforward_dim,
            "dropout": fields.dropout,
            **_levels(config, backbone, faults),
        }
        head = {
            "name": "mask2former",
            "num_queries": fields.num_queries,
            "channels": fields.hidden_dim,
            "num_layers": fields.decoder_layers - 1,
            "num_heads": fields.num_attention_heads,
            "feedforward_channels": fields.dim_feedforward,
            "dropout": fields.dropout,
            "activation": _ACTIVATIONS[fields.activation_function],
            "project": fields.enforce_input_projection,
            "criterion": {
                "name": "point_mask_set",
                "class_weight": fields.class_weight,
                "mask_weight": fields.mask_weight,
                "dice_weight": fields.dice_weight,
                "no_object_weight": fields.no_object_weight,
                "num_points": fields.train_num_points,
                "oversample": fields.oversample_ratio,
                "importance": fields.importance_sample_ratio,
                "ignore_label": fields.ignore_value,
            },
        }
        if faults or backbone is None:
            raise RecipeError([f"Mask2Former config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "Mask2Former", necks=["deformable_pixel_decoder"])
        head, neck = parts.head, parts.necks[0]
        folded = len(parts.levels) - _ENCODED
        return parts.config(
            "mask2former",
            self.architectures[0],
            Mask2FormerFields,
            feature_size=neck["channels"],
            mask_feature_size=neck["mask_channels"],
            encoder_layers=neck["num_layers"],
            encoder_feedforward_dim=neck["feedforward_channels"],
            hidden_dim=head["channels"],
            num_queries=head["num_queries"],
            decoder_layers=head["num_layers"] + 1,
            num_attention_heads=head["num_heads"],
            dim_feedforward=head["feedforward_channels"],
            dropout=head["dropout"],
            activation_function=head["activation"],
            enforce_input_projection=head["project"],
            feature_strides=list(PYRAMID_STRIDES),
            common_stride=8 >> folded,
            ignore_value=parts.ignore_label,
            **parts.of_criterion(_LOSS_OPTIONS),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, Mask2FormerFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "model.pixel_level_module.encoder"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        weights = class_weights(read_class_names(config, [])[1], Mask2FormerFields.read(config, []).no_object_weight)
        return {**written, **idle_of_backbone(written, nested, prefix), **weights}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None:
            raise RecipeError([f"Mask2Former config.json: {fault}" for fault in faults])
        return combine(
            backbone.key_map.under("model.pixel_level_module.encoder", "backbone"),
            _neck_names().under("model.pixel_level_module.decoder", "neck.0"),
            _transformer_names().under("model.transformer_module", "head"),
            KeyMap(
                [Rename("class_predictor", "head.class_predictor")],
                drop=["criterion.empty_weight"],  # no_object_weight, as a tensor
            ),
        )


MASK2FORMER = Mask2FormerCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    nested = nested_config(config, faults, _DEFAULT_BACKBONE)
    return None if nested is None else read_nested(nested, faults)


def _levels(config: Mapping[str, Any], backbone: NestedBackbone | None, faults: list[str]) -> dict[str, Any]:
    """Which levels the pixel decoder takes. In transformers the last three maps are encoded, whatever their strides,
    and two fields of strides decide how many of the first are folded in; here levels are chosen by stride, or the
    deepest are taken.
    """
    strides = config.get("feature_strides") or [4, 8, 16, 32]
    common = config.get("common_stride", 4)
    numbers = [*strides, common] if isinstance(strides, list | tuple) else [None]
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 1 for one in numbers):
        faults.append("feature_strides and common_stride must be whole numbers of at least 1.")
        return {}
    folded = int(log2(min(strides[-_ENCODED:])) - log2(common))
    if backbone is None or backbone.levels is None:
        return {} if (folded, common) == (1, 4) else {"mask_stride": common}
    levels = backbone.levels
    given = f"it returns {len(levels)} maps ({', '.join(level.name for level in levels)})"
    if folded < 0 or len(levels) < _ENCODED + folded:
        faults.append(
            f"backbone_config: {given} and the pixel decoder encodes the last {_ENCODED} and folds in the first "
            f"{folded}, which must not overlap. The fix: more out_features, or another common_stride."
        )
        return {}
    octaves = [octave(level.stride) for level in levels]
    if folded == 0 and _is_pyramid(levels[-_ENCODED:]):
        return {"mask_stride": 8}
    if len(levels) != _ENCODED + folded:
        faults.append(
            f"backbone_config: {given}, of which the pixel decoder reads the last {_ENCODED} and the first {folded}; "
            f"here it reads neighbours only. The fix: out_features without those between."
        )
        return {}
    if _is_pyramid(levels):
        return {} if octaves[0] == octave(4) else {"mask_stride": 1 << octaves[0]}
    return {"num_deepest_levels": len(levels)}


def _is_pyramid(levels: tuple[Level, ...]) -> bool:
    """One level in each octave, down to stride 32."""
    octaves = [octave(level.stride) for level in levels]
    return octaves == list(range(octave(32) - len(levels) + 1, octave(32) + 1))


def _neck_names() -> KeyMap:
    layer, own = "encoder.layers.{i}", "encoder.layers.{i}"
    attention = (
        ("sampling_offsets", "offsets"),
        ("attention_weights", "weights"),
        ("value_proj", "value"),
        ("output_proj", "output"),
    )
    # Theirs count from 1 in the order of the maps; no reasonable decoder has more than six.
    folded = [(f"adapter_{index + 1}", f"layer_{index + 1}", index) for index in range(6)]
    return KeyMap(
        [
            Rename("level_embed", "encoder.level_embedding"),
            Rename("input_projections.{i}.0", "projections.{i}.convolution"),
            Rename("input_projections.{i}.1", "projections.{i}.norm"),
            *(Rename(f"{layer}.self_attn.{theirs}", f"{own}.self_attention.{ours}") for theirs, ours in attention),
            Rename(f"{layer}.self_attn_layer_norm", f"{own}.self_attention_norm"),
            Rename(f"{layer}.fc1", f"{own}.feedforward.widen"),
            Rename(f"{layer}.fc2", f"{own}.feedforward.narrow"),
            Rename(f"{layer}.final_layer_norm", f"{own}.feedforward_norm"),
            *(Rename(f"{lateral}.0", f"laterals.{index}.convolution") for lateral, _, index in folded),
            *(Rename(f"{lateral}.1", f"laterals.{index}.norm") for lateral, _, index in folded),
            *(Rename(f"{output}.0", f"outputs.{index}.convolution") for _, output, index in folded),
            *(Rename(f"{output}.1", f"outputs.{index}.norm") for _, output, index in folded),
            Rename("mask_projection", "mask_projection"),
        ]
    )


def _transformer_names() -> KeyMap:
    layer, own = "decoder.layers.{i}", "layers.{i}"
    projections = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "output"))
    joined = ("query", "key", "value")
    return KeyMap(
        [
            Rename("queries_embedder", "query_positions"),
            Rename("queries_features", "query_features"),
            Rename("level_embed", "level_embedding"),
            Rename("input_projections", "projections"),
            Rename("decoder.layernorm", "norm"),
            *(Rename(f"{layer}.self_attn.{theirs}", f"{own}.self_attention.{ours}") for theirs, ours in projections),
            *(
                Split(f"{layer}.cross_attn.in_proj_{kind}", [f"{own}.cross_attention.{name}.{kind}" for name in joined])
                for kind in ("weight", "bias")
            ),
            Rename(f"{layer}.cross_attn.out_proj", f"{own}.cross_attention.output"),
            Rename(f"{layer}.self_attn_layer_norm", f"{own}.self_attention_norm"),
            Rename(f"{layer}.cross_attn_layer_norm", f"{own}.cross_attention_norm"),
            Rename(f"{layer}.fc1", f"{own}.feedforward.widen"),
            Rename(f"{layer}.fc2", f"{own}.feedforward.narrow"),
            Rename(f"{layer}.final_layer_norm", f"{own}.feedforward_norm"),
            Rename("decoder.mask_predictor.mask_embedder.{i}.0", "mask_embedder.layers.{i}"),
        ]
    )
