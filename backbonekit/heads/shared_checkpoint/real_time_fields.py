"""What the configurations of RT-DETR, RT-DETR v2 and D-FINE have in common: backbone, hybrid encoder, queries, loss.

Source: transformers/models/{rt_detr,rt_detr_v2,d_fine}/configuration_*.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from backbonekit.contract.features import Level, octave
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, read_nested

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
_LEVELS = 3
# Read by nobody: initialisation, the strides of anchors for one size of images, what attention kernels are used.
IDLE = (
    *("initializer_range", "initializer_bias_prior_prob", "feat_strides", "anchor_image_size", "eos_coefficient"),
    *("disable_custom_kernels", "head_dim", "num_hidden_layers", "use_timm_backbone", "use_pretrained_backbone"),
    *("backbone_kwargs", "layer_types"),
)
_METHODS = {"default": "bilinear", "discrete": "nearest"}


def read_nested_backbone(
    config: Mapping[str, Any], default: Mapping[str, Any], faults: list[str]
) -> NestedBackbone | None:
    """`default`: what transformers fills in where a file has none."""
    nested = config.get("backbone_config")
    return read_nested(default if nested is None else nested, faults)


def count_levels(fields: ForeignFields, backbone: NestedBackbone | None) -> int:
    """How many levels the network has; a file that says it in several places must say the same."""
    levels = None if backbone is None else backbone.levels
    said = fields.raw("encoder_in_channels")
    count = len(levels) if levels is not None else len(said) if isinstance(said, list | tuple) else _LEVELS
    for name in ("encoder_in_channels", "decoder_in_channels"):
        given = fields.raw(name)
        if given is not None and (not isinstance(given, list | tuple) or len(given) != count):
            fields.faults.append(
                f"{name}={str(given)[:60]} is not supported: it must have one number for each of the {count} levels."
            )
    for name in ("num_feature_levels", "decoder_n_levels"):
        if fields.raw(name) is not None or count != _LEVELS:
            fields.only(name, count, f"the backbone gives {count} levels, and each is read as it is")
    fields.only("encode_proj_layers", [count - 1], "the transformer stands on the coarsest level alone")
    if levels is not None:
        _check_strides(levels, fields.faults)
    return count


def read_neck(fields: ForeignFields, levels: int, *, fusion: str, blocks: int) -> dict[str, Any]:
    fields.only("normalize_before", False, "norms stand behind the branches")
    fields.only("eval_size", None, "positions are made for the size of every image")
    for name in ("layer_norm_eps", "batch_norm_eps"):
        fields.only(name, 1e-5, "norms have 1e-05")
    return {
        "name": "hybrid_encoder",
        "channels": fields.number("encoder_hidden_dim", 256, low=1),
        "num_levels": levels,
        "num_layers": fields.number("encoder_layers", 1),
        "num_heads": fields.number("encoder_attention_heads", fields.number("num_attention_heads", 8, low=1), low=1),
        "feedforward_channels": fields.number("encoder_ffn_dim", 1024, low=1),
        "dropout": fields.number("dropout", 0.0),
        "activation": fields.choice("encoder_activation_function", "gelu", ACTIVATIONS),
        "temperature": float(fields.number("positional_encoding_temperature", 10_000.0, low=1)),
        "fusion": fusion,
        "expansion": fields.number("hidden_expansion", 1.0),
        "num_blocks": blocks,
        "fusion_activation": fields.choice("activation_function", "silu", ACTIVATIONS),
    }


def read_decoder(fields: ForeignFields) -> dict[str, Any]:
    """The options that both heads have, without `points`."""
    fields.only("with_box_refine", True, "every layer corrects the boxes of the one before")
    fields.only("auxiliary_loss", True, "every layer is trained")
    return {
        "num_queries": fields.number("num_queries", 300, low=1),
        "channels": fields.number("d_model", fields.number("hidden_size", 256, low=1), low=1),
        "num_layers": fields.number("decoder_layers", 6, low=1),
        "num_heads": fields.number("decoder_attention_heads", 8, low=1),
        "feedforward_channels": fields.number("decoder_ffn_dim", 1024, low=1),
        "offset_scale": fields.number("decoder_offset_scale", 0.5),
        "sampling": fields.choice("decoder_method", "default", _METHODS),
        "dropout": fields.number("dropout", 0.0),
        "attention_dropout": fields.number("attention_dropout", 0.0),
        "activation": fields.choice("decoder_activation_function", "relu", ACTIVATIONS),
        "learned_queries": fields.flag("learn_initial_query", False),
        "num_denoising_queries": fields.number("num_denoising", 100),
        "label_noise": fields.number("label_noise_ratio", 0.5),
        "box_noise": fields.number("box_noise_scale", 1.0),
    }


def read_weights(fields: ForeignFields) -> dict[str, Any]:
    """Of the loss and of the matching."""
    fields.only("use_focal_loss", True, "classes are scored independently")
    return {
        "class_weight": fields.number("weight_loss_vfl", 1.0),
        "box_weight": fields.number("weight_loss_bbox", 5.0),
        "giou_weight": fields.number("weight_loss_giou", 2.0),
        "class_cost": fields.number("matcher_class_cost", 2.0),
        "box_cost": fields.number("matcher_bbox_cost", 5.0),
        "giou_cost": fields.number("matcher_giou_cost", 2.0),
        "alpha": fields.number("focal_loss_alpha", 0.75),
        "gamma": fields.number("focal_loss_gamma", 2.0),
        "matching_alpha": fields.number("matcher_alpha", 0.25),
        "matching_gamma": fields.number("matcher_gamma", 2.0),
    }


def read_advice(fields: ForeignFields) -> dict[str, Any]:
    """transformers builds norms of a backbone that cannot be trained; here whoever trains is told to freeze them."""
    return {"freeze": {"stages": 0, "norms": True}} if fields.flag("freeze_backbone_batch_norms", True) else {}


def _check_strides(levels: Sequence[Level], faults: list[str]) -> None:
    wanted = [32 >> power for power in reversed(range(len(levels)))]
    if [octave(level.stride) for level in levels] != [octave(stride) for stride in wanted]:
        given = ", ".join(f"{level.stride:g}" for level in levels)
        faults.append(
            f"backbone_config: it gives maps of strides {given}; {len(levels)} levels have strides "
            f"{', '.join(map(str, wanted))}."
        )
