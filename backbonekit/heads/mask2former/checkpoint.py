"""Mask2Former as transformers saves it.

Source: transformers/models/mask2former/{configuration,modeling}_mask2former.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

from backbonekit.contract.features import Level, octave
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.class_names import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, read_nested
from backbonekit.weights.key_map import KeyMap, Rename, Split, combine

_ENCODED = 3  # of its pixel decoder, whatever a file says
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
# What transformers fills in where a file has none.
_DEFAULT_BACKBONE = {
    "model_type": "swin",
    "depths": [2, 2, 18, 2],
    "drop_path_rate": 0.3,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
# Initialisation, second names of fields, older ways to name a backbone that a backbone_config has answered, and fields
# without effect: every layer is judged whatever use_auxiliary_loss says.
_IDLE = (
    *("init_std", "init_xavier_std", "output_auxiliary_logits", "use_auxiliary_loss", "hidden_size"),
    *("num_hidden_layers", "use_timm_backbone", "use_pretrained_backbone", "backbone", "backbone_kwargs"),
    *("backbone_config", "feature_strides", "common_stride"),
)


@dataclass(frozen=True, slots=True)
class Mask2FormerCheckpoint:
    """Both ways between transformers' Mask2Former and `deformable_pixel_decoder` with `mask2former`."""

    architectures: tuple[str, ...] = ("Mask2FormerForUniversalSegmentation",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = ForeignFields(config, "", idle=_IDLE)
        labels, num_classes = read_class_names(config, faults)
        dropout = fields.number("dropout", 0.0)
        heads = fields.number("num_attention_heads", 8, low=1)
        neck = {
            "name": "deformable_pixel_decoder",
            "channels": fields.number("feature_size", 256, low=1),
            "mask_channels": fields.number("mask_feature_size", 256, low=1),
            "num_layers": fields.number("encoder_layers", 6),
            "num_heads": heads,
            "feedforward_channels": fields.number("encoder_feedforward_dim", 1024, low=1),
            "dropout": dropout,
            **_levels(config, backbone, faults),
        }
        head = {
            "name": "mask2former",
            "num_queries": fields.number("num_queries", 100, low=1),
            "channels": fields.number("hidden_dim", 256, low=1),
            # One less than told: the prediction before the first layer is counted there.
            "num_layers": fields.number("decoder_layers", 10, low=1) - 1,
            "num_heads": heads,
            "feedforward_channels": fields.number("dim_feedforward", 2048, low=1),
            "dropout": dropout,
            "activation": fields.choice("activation_function", "relu", _ACTIVATIONS),
            "project": fields.flag("enforce_input_projection", False),
            "criterion": {
                "name": "point_mask_set",
                "class_weight": fields.number("class_weight", 2.0),
                "mask_weight": fields.number("mask_weight", 5.0),
                "dice_weight": fields.number("dice_weight", 5.0),
                "no_object_weight": fields.number("no_object_weight", 0.1),
                "num_points": fields.number("train_num_points", 12_544, low=1),
                "oversample": fields.number("oversample_ratio", 3.0, low=1),
                "importance": fields.number("importance_sample_ratio", 0.75),
                "ignore_label": fields.number("ignore_value", 255, low=-1),
            },
        }
        fields.only("pre_norm", False, "norms before the branches of the decoder are not built here")
        faults.extend(fields.finish())
        if faults or backbone is None:
            raise RecipeError([f"Mask2Former config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

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
    nested = config.get("backbone_config")
    if nested is None and config.get("backbone") is not None:
        if config.get("use_timm_backbone") is not True:
            faults.append(
                f"backbone={str(config['backbone'])[:60]!r} without a backbone_config: which architecture it is stands "
                f"elsewhere. The fix: its config.json as backbone_config."
            )
            return None
        kwargs = config.get("backbone_kwargs")
        kwargs = kwargs if isinstance(kwargs, Mapping) else {}
        nested = {**kwargs, "model_type": "timm_backbone", "backbone": config["backbone"]}
    return read_nested(_DEFAULT_BACKBONE if nested is None else nested, faults)


def _levels(config: Mapping[str, Any], backbone: NestedBackbone | None, faults: list[str]) -> dict[str, Any]:
    """Which levels the pixel decoder takes. There the last three maps are encoded, whatever their strides, and as many
    of the first as two fields of strides say are folded in; here levels are asked for by stride, or the deepest taken.
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
    given = f"it gives {len(levels)} maps ({', '.join(level.name for level in levels)})"
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
