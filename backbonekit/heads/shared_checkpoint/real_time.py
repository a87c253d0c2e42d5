"""What RT-DETR, RT-DETR v2 and D-FINE have in common: fields of the configurations and names of the weights.

On disk the transformer is `encoder.encoder` and its layers have `fc1` and `out_proj`; in memory they are
`encoder.aifi`, `mlp.fc1` (of D-FINE `mlp.layers.0`) and `o_proj`. What stands first is written back.
Source: transformers/models/{rt_detr,rt_detr_v2,d_fine}/{configuration,modeling}_*.py;
transformers/conversion_mapping.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from backbonekit.contract.features import Level, octave
from backbonekit.contract.options import Channels, Count, Heads, Layers, Probability, Queries, Range, Weight
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, read_apart, unsupported, unused
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, nested_config, read_nested
from backbonekit.heads.shared_checkpoint.tied_predictors import TiedPredictors
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe, renamed
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
SAMPLING_METHODS = {"default": "bilinear", "discrete": "nearest"}
# Fields, and the options of the head and of the criterion that they are.
_DECODER_OPTIONS = {
    "num_queries": "num_queries",
    "d_model": "channels",
    "decoder_layers": "num_layers",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_dim": "feedforward_channels",
    "decoder_offset_scale": "offset_scale",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "decoder_activation_function": "activation",
    "learn_initial_query": "learned_queries",
    "num_denoising": "num_denoising_queries",
    "label_noise_ratio": "label_noise",
    "box_noise_scale": "box_noise",
}
_LOSS_OPTIONS = {
    "weight_loss_vfl": "class_weight",
    "weight_loss_bbox": "box_weight",
    "weight_loss_giou": "giou_weight",
    "matcher_class_cost": "class_cost",
    "matcher_bbox_cost": "box_cost",
    "matcher_giou_cost": "giou_cost",
    "focal_loss_alpha": "alpha",
    "focal_loss_gamma": "gamma",
    "matcher_alpha": "matching_alpha",
    "matcher_gamma": "matching_gamma",
}
Activation = Literal["relu", "gelu", "silu", "swish"]
_PROJECTIONS = (
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "output"),
    ("o_proj", "output"),
)
_LINEARS = (
    *(("fc1", "widen"), ("fc2", "narrow"), ("mlp.fc1", "widen"), ("mlp.fc2", "narrow")),
    *(("mlp.layers.0", "widen"), ("mlp.layers.1", "narrow")),
)


@dataclass(kw_only=True)
class RealTimeFields(ModelFields):
    """Fields of all three, which are those of RT-DETR but for a few."""

    second_names: ClassVar[Mapping[str, str]] = {
        "hidden_size": "d_model",
        "num_attention_heads": "encoder_attention_heads",
    }
    # Which attention kernels are used, and what other releases write.
    ignored: ClassVar[frozenset[str]] = frozenset(
        {"disable_custom_kernels", "head_dim", "num_hidden_layers", "layer_types"}
    )

    initializer_range: float = unused(0.01)
    initializer_bias_prior_prob: float | None = unused(None)
    layer_norm_eps: float = only(1e-5, "norms have 1e-05")
    batch_norm_eps: float = only(1e-5, "norms have 1e-05")
    freeze_backbone_batch_norms: bool = True
    encoder_hidden_dim: Channels = 256
    encoder_in_channels: Sequence[int] = read_apart((512, 1024, 2048))
    feat_strides: Sequence[int] = unused((8, 16, 32))
    encoder_layers: Layers = 1
    encoder_ffn_dim: Channels = 1024
    encoder_attention_heads: Heads = 8
    dropout: Probability = 0.0
    encode_proj_layers: Sequence[int] = read_apart((2,))
    positional_encoding_temperature: Annotated[float, Range(1, 1e9)] = 10_000
    encoder_activation_function: Activation = "gelu"
    activation_function: Activation = "silu"
    eval_size: Sequence[int] | None = only(None, "positions are made for the size of every image")
    normalize_before: bool = only(False, "norms stand behind the branches")
    hidden_expansion: Weight = 1.0
    d_model: Channels = 256
    num_queries: Queries = 300
    decoder_in_channels: Sequence[int] = read_apart((256, 256, 256))
    decoder_ffn_dim: Channels = 1024
    num_feature_levels: int = read_apart(3)
    decoder_layers: Annotated[int, Range(1, 200)] = 6
    decoder_attention_heads: Heads = 8
    decoder_activation_function: Activation = "relu"
    attention_dropout: Probability = 0.0
    num_denoising: Count = 100
    label_noise_ratio: Weight = 0.5
    box_noise_scale: Weight = 1.0
    learn_initial_query: bool = False
    anchor_image_size: Sequence[int] | None = unused(None)
    with_box_refine: bool = only(True, "every layer corrects the boxes of the one before")
    matcher_alpha: Weight = 0.25
    matcher_gamma: Weight = 2.0
    matcher_class_cost: Weight = 2.0
    matcher_bbox_cost: Weight = 5.0
    matcher_giou_cost: Weight = 2.0
    use_focal_loss: bool = only(True, "classes are scored independently")
    auxiliary_loss: bool = only(True, "every layer is trained")
    focal_loss_alpha: Weight = 0.75
    focal_loss_gamma: Weight = 2.0
    weight_loss_vfl: Weight = 1.0
    weight_loss_bbox: Weight = 5.0
    weight_loss_giou: Weight = 2.0
    eos_coefficient: float = unused(1e-4)


def read_nested_backbone(
    config: Mapping[str, Any], default: Mapping[str, Any], faults: list[str]
) -> NestedBackbone | None:
    """`default`: what transformers fills in where a file has none."""
    nested = nested_config(config, faults, default)
    return None if nested is None else read_nested(nested, faults)


def count_levels(config: Mapping[str, Any], backbone: NestedBackbone | None, faults: list[str]) -> int:
    """How many levels the network has. Fields of a file that have it in several forms must agree."""
    levels = None if backbone is None else backbone.levels
    channels = config.get("encoder_in_channels")
    count = len(levels) if levels is not None else len(channels) if isinstance(channels, list | tuple) else 3
    for name in ("encoder_in_channels", "decoder_in_channels"):
        given = config.get(name)
        if given is not None and (not isinstance(given, list | tuple) or len(given) != count):
            faults.append(unsupported(name, given, f"it must have one number for each of the {count} levels"))
    for name in ("num_feature_levels", "decoder_n_levels"):
        if config.get(name) not in (None, count):
            faults.append(
                unsupported(name, config[name], f"the backbone returns {count} levels, and each is read as it is")
            )
    projected = config.get("encode_proj_layers")
    if projected is not None and (not isinstance(projected, list | tuple) or list(projected) != [count - 1]):
        why = "the transformer stands on the coarsest level alone"
        faults.append(unsupported("encode_proj_layers", projected, why))
    if levels is not None:
        _check_strides(levels, faults)
    return count


def neck_options(fields: RealTimeFields, levels: int, *, fusion: str, blocks: int) -> dict[str, Any]:
    """Of the hybrid encoder."""
    return {
        "name": "hybrid_encoder",
        "channels": fields.encoder_hidden_dim,
        "num_levels": levels,
        "num_layers": fields.encoder_layers,
        "num_heads": fields.encoder_attention_heads,
        "feedforward_channels": fields.encoder_ffn_dim,
        "dropout": fields.dropout,
        "activation": ACTIVATIONS[fields.encoder_activation_function],
        "temperature": float(fields.positional_encoding_temperature),
        "fusion": fusion,
        "expansion": fields.hidden_expansion,
        "num_blocks": blocks,
        "fusion_activation": ACTIVATIONS[fields.activation_function],
    }


def decoder_options(fields: RealTimeFields, offset_scale: float = 0.5, method: str = "default") -> dict[str, Any]:
    """The options that both heads have, without `points`. `offset_scale`, `method`: RT-DETR has no field for them."""
    return {
        "num_queries": fields.num_queries,
        "channels": fields.d_model,
        "num_layers": fields.decoder_layers,
        "num_heads": fields.decoder_attention_heads,
        "feedforward_channels": fields.decoder_ffn_dim,
        "offset_scale": offset_scale,
        "sampling": SAMPLING_METHODS[method],
        "dropout": fields.dropout,
        "attention_dropout": fields.attention_dropout,
        "activation": ACTIVATIONS[fields.decoder_activation_function],
        "learned_queries": fields.learn_initial_query,
        "num_denoising_queries": fields.num_denoising,
        "label_noise": fields.label_noise_ratio,
        "box_noise": fields.box_noise_scale,
    }


def loss_options(fields: RealTimeFields) -> dict[str, Any]:
    """Of the loss and of the matching."""
    return {option: getattr(fields, field) for field, option in _LOSS_OPTIONS.items()}


def written_fields(parts: WrittenRecipe) -> dict[str, Any]:
    """The fields of all three, but for `decoder_n_points`."""
    head, neck, count = parts.head, parts.necks[0], len(parts.levels)
    parts.check_layers(head["num_layers"])
    methods = {ours: theirs for theirs, ours in SAMPLING_METHODS.items()}
    temperature = neck["temperature"]
    return {
        "encoder_hidden_dim": neck["channels"],
        "encoder_in_channels": [level.channels for level in parts.levels],
        "feat_strides": [32 >> power for power in reversed(range(count))],
        "encoder_layers": neck["num_layers"],
        "encoder_ffn_dim": neck["feedforward_channels"],
        "encoder_attention_heads": neck["num_heads"],
        "encode_proj_layers": [count - 1],
        "positional_encoding_temperature": int(temperature) if temperature == int(temperature) else temperature,
        "encoder_activation_function": neck["activation"],
        "activation_function": neck["fusion_activation"],
        "hidden_expansion": neck["expansion"],
        "decoder_in_channels": [neck["channels"]] * count,
        "num_feature_levels": count,
        "freeze_backbone_batch_norms": parts.freezes_norms,
        **renamed(head, _DECODER_OPTIONS),
        "decoder_method": methods[head["sampling"]],
        **parts.of_criterion(_LOSS_OPTIONS),
    }


def freezing(fields: RealTimeFields) -> dict[str, Any]:
    """The `training` of the recipe. transformers builds norms of a backbone that cannot be trained; here freezing them
    is advice for training."""
    return {"freeze": {"stages": 0, "norms": True}} if fields.freeze_backbone_batch_norms else {}


def neck_names(*, is_elan: bool) -> KeyMap:
    """Between `model.` and `neck.0.`."""
    rules: list[Rule] = [
        Rename("encoder_input_proj.{i}.0", "projections.{i}.convolution"),
        Rename("encoder_input_proj.{i}.1", "projections.{i}.norm"),
    ]
    for spelling in ("encoder.encoder.0", "encoder.aifi.0"):
        rules += _layer_rules(f"{spelling}.layers.{{i}}", "layers.{i}")
    rules += _convolution("encoder.lateral_convs.{i}", "laterals.{i}" if is_elan else "laterals.{i}.layer")
    for theirs, ours in (("fpn_blocks", "top_down"), ("pan_blocks", "bottom_up")):
        block = (f"encoder.{theirs}.{{i}}", f"{ours}.{{i}}")
        rules += _elan(*block) if is_elan else _csp(*block)
    down = "encoder.downsample_convs.{i}"
    if is_elan:
        rules += _convolution(f"{down}.conv1", "downsamples.{i}.mix")
        rules.append(Rename(f"{down}.conv2.conv", "downsamples.{i}.halve"))
        rules.append(Rename(f"{down}.conv2.norm", "downsamples.{i}.norm"))
    else:
        rules += _convolution(down, "downsamples.{i}.layer")
    return KeyMap(rules)


def start_names() -> KeyMap:
    """Between `model.` and `head.start.`."""
    return KeyMap(
        [
            Rename("decoder_input_proj.{i}.0", "projections.{i}.convolution"),
            Rename("decoder_input_proj.{i}.1", "projections.{i}.norm"),
            Rename("enc_output.0", "selection.projection"),
            Rename("enc_output.1", "selection.norm"),
            Rename("enc_score_head", "selection.class_predictor"),
            Rename("enc_bbox_head", "selection.box_predictor"),
            Rename("denoising_class_embed", "label_embedding"),
            Rename("weight_embedding", "learned"),
        ]
    )


def decoder_rules() -> list[Rule]:
    """Between `model.decoder.` and `head.`; what both decoders have."""
    layer, ours = "layers.{i}", "layers.{i}"
    attention = ("sampling_offsets", "offsets"), ("attention_weights", "weights")
    projections = ("value_proj", "value"), ("output_proj", "output")
    return [
        *_layer_rules(layer, ours),
        *(
            Rename(f"{layer}.encoder_attn.{theirs}", f"{ours}.cross_attention.{name}")
            for theirs, name in (*attention, *projections)
        ),
        Rename(f"{layer}.encoder_attn_layer_norm", f"{ours}.cross_attention_norm"),
        Rename("query_pos_head", "positions"),
        Rename("class_embed", "class_predictors"),
    ]


def with_predictors(fields: RealTimeFields, table: KeyMap, boxes: str) -> KeyMap:
    """The table of a whole model, of which a file may hold the predictors under one of two names or under both.

    `table`: knows them inside the decoder, where they are written back. `boxes`: our name of the box predictors.
    """
    outside = KeyMap(
        [
            Rename("class_embed.{i}", "head.class_predictors.{i}"),
            Rename("bbox_embed.{i}", f"head.{boxes}.{{i}}"),
        ],
        drop=["model.decoder.layers.*.n*_points_scale"],  # what follows from the number of points, as a tensor
    )
    count = fields.decoder_layers
    return TiedPredictors(combine(table, outside), {"class_embed": count, "bbox_embed": count})


def _layer_rules(theirs: str, ours: str) -> list[Rule]:
    """Self-attention and feed-forward of an encoder's or a decoder's layer."""
    return [
        *(Rename(f"{theirs}.self_attn.{one}", f"{ours}.self_attention.{other}") for one, other in _PROJECTIONS),
        Rename(f"{theirs}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
        *(Rename(f"{theirs}.{one}", f"{ours}.feedforward.{other}") for one, other in _LINEARS),
        Rename(f"{theirs}.final_layer_norm", f"{ours}.feedforward_norm"),
    ]


def _convolution(theirs: str, ours: str) -> list[Rule]:
    return [Rename(f"{theirs}.conv", f"{ours}.convolution"), Rename(f"{theirs}.norm", f"{ours}.norm")]


def _csp(theirs: str, ours: str) -> list[Rule]:
    parts = (("conv1", "enter.layer"), ("conv2", "shortcut.layer"), ("conv3", "leave.layer"))
    inner = (("conv1", "wide"), ("conv2", "narrow"))
    return [
        *(rule for one, other in parts for rule in _convolution(f"{theirs}.{one}", f"{ours}.{other}")),
        *(
            rule
            for one, other in inner
            for rule in _convolution(f"{theirs}.bottlenecks.{{j}}.{one}", f"{ours}.blocks.{{j}}.{other}")
        ),
    ]


def _elan(theirs: str, ours: str) -> list[Rule]:
    parts = (("conv1", "enter"), ("conv2", "first_out"), ("conv3", "second_out"), ("conv4", "leave"))
    return [
        *(rule for one, other in parts for rule in _convolution(f"{theirs}.{one}", f"{ours}.{other}.layer")),
        *_csp(f"{theirs}.csp_rep1", f"{ours}.first"),
        *_csp(f"{theirs}.csp_rep2", f"{ours}.second"),
    ]


def _check_strides(levels: Sequence[Level], faults: list[str]) -> None:
    expected = [32 >> power for power in reversed(range(len(levels)))]
    if [octave(level.stride) for level in levels] != [octave(stride) for stride in expected]:
        given = ", ".join(f"{level.stride:g}" for level in levels)
        faults.append(
            f"backbone_config: it returns maps of strides {given}; {len(levels)} levels have strides "
            f"{', '.join(map(str, expected))}."
        )
