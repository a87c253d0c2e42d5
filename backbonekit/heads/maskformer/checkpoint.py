"""MaskFormer as transformers saves it.

Source: transformers/models/maskformer/{configuration,modeling}_maskformer.py; transformers/conversion_mapping.py, which
writes some names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbonekit.contract.features import Level, octave
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.class_names import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, read_nested
from backbonekit.weights.key_map import KeyMap, Rename, combine

_STRIDES = (4, 8, 16, 32)
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
# What transformers fills in where a file has none.
_DEFAULT_BACKBONE = {
    "model_type": "swin",
    "depths": [2, 2, 18, 2],
    "drop_path_rate": 0.3,
    "image_size": 384,
    "embed_dim": 128,
    "num_heads": [4, 8, 16, 32],
    "window_size": 12,
}
# Fields of other uses of the same configuration, of which this model reads nothing: initialisation, DETR's own
# backbone, encoder, boxes and matching. Positions are always sines, whatever `position_embedding_type` says.
_IDLE = ("init_std", "init_xavier_std", "num_attention_heads", "num_hidden_layers", "output_auxiliary_logits")
_IDLE_IN_DECODER = (
    *_IDLE,
    *("backbone", "backbone_config", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone", "dilation"),
    *("num_channels", "encoder_layers", "encoder_ffn_dim", "encoder_attention_heads", "encoder_layerdrop"),
    *("decoder_layerdrop", "position_embedding_type", "max_position_embeddings", "scale_embedding"),
    *("classifier_dropout", "freeze_backbone", "class_cost", "bbox_cost", "giou_cost", "mask_loss_coefficient"),
    *("dice_loss_coefficient", "bbox_loss_coefficient", "giou_loss_coefficient", "eos_coefficient", "num_labels"),
)


@dataclass(frozen=True, slots=True)
class MaskFormerCheckpoint:
    """Both ways between transformers' MaskFormer and `fpn_pixel_decoder` with `maskformer`."""

    architectures: tuple[str, ...] = ("MaskFormerForInstanceSegmentation",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = ForeignFields(
            config, "", idle=(*_IDLE, "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs")
        )
        if fields.raw("backbone_config") is not None:
            fields.only("backbone", None, "backbone_config says it already")
        fields.raw("backbone")
        labels, num_classes = read_class_names(config, faults)
        neck = {
            "name": "fpn_pixel_decoder",
            "channels": fields.number("fpn_feature_size", 256, low=1),
            "mask_channels": fields.number("mask_feature_size", _hidden_size(fields), low=1),
        }
        criterion = {
            "name": "mask_set",
            "class_weight": fields.number("cross_entropy_weight", 1.0),
            "mask_weight": fields.number("mask_weight", 20.0),
            "dice_weight": fields.number("dice_weight", 1.0),
            "no_object_weight": fields.number("no_object_weight", 0.1),
        }
        # With it transformers judges the queries before the first layer too, and no state through the final norm.
        auxiliary = "raw" if fields.flag("use_auxiliary_loss", False) else "none"
        decoder = _decoder(fields.mapping("decoder_config", {}), faults)
        if "num_queries" in decoder:
            fields.only("num_queries", decoder["num_queries"], "decoder_config.num_queries is what counts")
        faults.extend(fields.finish())
        if backbone is not None and backbone.levels is not None:
            neck["num_deepest_levels"] = _deepest(backbone.levels, faults)
        if faults or backbone is None:
            raise RecipeError([f"MaskFormer config.json: {fault}" for fault in faults])
        head = {"name": "maskformer", **decoder, "auxiliary": auxiliary, "criterion": criterion}
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": backbone.training,
        }

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None:
            raise RecipeError([f"MaskFormer config.json: {fault}" for fault in faults])
        levels = len(backbone.levels) if backbone.levels is not None else len(_STRIDES)
        return combine(
            backbone.key_map.under("model.pixel_level_module.encoder", "backbone"),
            _neck_names(levels).under("model.pixel_level_module.decoder", "neck.0"),
            _transformer_names().under("model.transformer_module", "head"),
            _predictor_names(),
        )


MASKFORMER = MaskFormerCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    nested = config.get("backbone_config")
    if nested is None and config.get("backbone") is not None:
        nested = _named_backbone(config, faults)
    elif nested is None:
        nested = _DEFAULT_BACKBONE
    if nested is None:
        return None
    if isinstance(nested, Mapping) and nested.get("model_type") == "swin":
        # transformers builds its own variant of it, with a norm for each of the four maps.
        nested = {key: value for key, value in nested.items() if key not in ("_out_indices", "_out_features")}
        nested |= {"model_type": "maskformer-swin", "out_indices": [1, 2, 3, 4], "out_features": None}
    return read_nested(nested, faults)


def _named_backbone(config: Mapping[str, Any], faults: list[str]) -> Mapping[str, Any] | None:
    """The older way to say it: `backbone`, `use_timm_backbone`, `backbone_kwargs`."""
    if config.get("use_timm_backbone") is not True:
        faults.append(
            f"backbone={str(config['backbone'])[:60]!r} without a backbone_config: which architecture it is stands "
            f"elsewhere. The fix: its config.json as backbone_config."
        )
        return None
    kwargs = config.get("backbone_kwargs")
    return {
        **(kwargs if isinstance(kwargs, Mapping) else {}),
        "model_type": "timm_backbone",
        "backbone": config["backbone"],
    }


def _hidden_size(fields: ForeignFields) -> int:
    """Of two names for one field the other one."""
    return fields.number("hidden_size", 256, low=1)


def _decoder(config: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    fields = ForeignFields(config, "decoder_config.", idle=_IDLE_IN_DECODER)
    if config.get("model_type", "detr") != "detr":
        faults.append(f"decoder_config.model_type={str(config['model_type'])[:60]!r} is not supported, only 'detr'.")
        return {}
    options = {
        "num_queries": fields.number("num_queries", 100, low=1),
        "channels": fields.number("d_model", fields.number("hidden_size", 256, low=1), low=1),
        "num_layers": fields.number("decoder_layers", 6),
        "num_heads": fields.number("decoder_attention_heads", 8, low=1),
        "feedforward_channels": fields.number("decoder_ffn_dim", 2048, low=1),
        "dropout": fields.number("dropout", 0.1),
        "attention_dropout": fields.number("attention_dropout", 0.0),
        "activation_dropout": fields.number("activation_dropout", 0.0),
        "activation": fields.choice("activation_function", "relu", _ACTIVATIONS),
    }
    fields.only("auxiliary_loss", False, "it puts the final norm between the layers, which is another network")
    faults.extend(fields.finish())
    return options


def _deepest(levels: Sequence[Level], faults: list[str]) -> int:
    if tuple(octave(level.stride) for level in levels) == tuple(octave(stride) for stride in _STRIDES):
        return 0
    if len(levels) < 2:
        faults.append(
            f"backbone_config: it gives {len(levels)} map ({', '.join(level.name for level in levels)}) and the pixel "
            f"decoder folds at least 2; transformers builds such a model and fails when it runs. The fix: more "
            f"out_features."
        )
    return len(levels)


def _neck_names(levels: int) -> KeyMap:
    # Theirs run coarse to fine, ours fine to coarse.
    ours = [(index, levels - 2 - index) for index in range(levels - 1)]
    return KeyMap(
        [
            Rename("fpn.stem.0", "stem.convolution"),
            Rename("fpn.stem.1", "stem.norm"),
            *(Rename(f"fpn.layers.{theirs}.proj.0", f"laterals.{own}.convolution") for theirs, own in ours),
            *(Rename(f"fpn.layers.{theirs}.proj.1", f"laterals.{own}.norm") for theirs, own in ours),
            *(Rename(f"fpn.layers.{theirs}.block.0", f"outputs.{own}.convolution") for theirs, own in ours),
            *(Rename(f"fpn.layers.{theirs}.block.1", f"outputs.{own}.norm") for theirs, own in ours),
            Rename("mask_projection", "mask_projection"),
        ]
    )


def _transformer_names() -> KeyMap:
    layer, own = "decoder.layers.{i}", "layers.{i}"
    attentions = (("self_attn", "self_attention"), ("encoder_attn", "cross_attention"))
    projections = (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "output"))
    return KeyMap(
        [
            Rename("queries_embedder", "queries"),
            Rename("input_projection", "input_projection"),
            Rename("decoder.layernorm", "norm"),
            *(
                Rename(f"{layer}.{attention}.{theirs}", f"{own}.{name}.{ours}")
                for attention, name in attentions
                for theirs, ours in (*projections, ("o_proj", "output"))
            ),
            *(Rename(f"{layer}.{attention}_layer_norm", f"{own}.{name}_norm") for attention, name in attentions),
            Rename(f"{layer}.fc1", f"{own}.feedforward.widen"),
            Rename(f"{layer}.fc2", f"{own}.feedforward.narrow"),
            Rename(f"{layer}.mlp.fc1", f"{own}.feedforward.widen"),
            Rename(f"{layer}.mlp.fc2", f"{own}.feedforward.narrow"),
            Rename(f"{layer}.final_layer_norm", f"{own}.feedforward_norm"),
        ]
    )


def _predictor_names() -> KeyMap:
    return KeyMap(
        [
            Rename("class_predictor", "head.class_predictor"),
            Rename("mask_embedder.{i}.0", "head.mask_embedder.layers.{i}"),
        ],
        drop=["criterion.empty_weight"],  # no_object_weight, as a tensor
    )
