"""MaskFormer as transformers saves it.

Source: transformers/models/maskformer/{configuration,modeling}_maskformer.py; transformers/conversion_mapping.py, which
writes some names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from backbonekit.contract.features import Level, octave
from backbonekit.contract.options import Channels, Heads, Layers, Probability, Queries, Weight
from backbonekit.contract.requirements import PYRAMID_STRIDES
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ModelFields, only, read_apart, unsupported, unused
from backbonekit.heads.shared_checkpoint.idle_weights import class_weights, idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, nested_config, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe, renamed
from backbonekit.weights.key_map import KeyMap, Rename, combine

_ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "silu": "silu", "swish": "silu"}
# Fields, and the options of the head and of the criterion that they are.
DECODER_OPTIONS = {
    "num_queries": "num_queries",
    "d_model": "channels",
    "decoder_layers": "num_layers",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_dim": "feedforward_channels",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "activation_function": "activation",
}
LOSS_OPTIONS = {
    "cross_entropy_weight": "class_weight",
    "mask_weight": "mask_weight",
    "dice_weight": "dice_weight",
    "no_object_weight": "no_object_weight",
}
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


@dataclass(kw_only=True)
class DecoderFields(ModelFields):
    """Fields of `decoder_config`, a DETR's. Ignored are those of parts that this model has not: DETR's own backbone,
    encoder, boxes and matching. Positions are always sines, whatever `position_embedding_type` is."""

    second_names: ClassVar[Mapping[str, str]] = {"hidden_size": "d_model"}
    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            *("init_std", "init_xavier_std", "num_attention_heads", "num_hidden_layers", "output_auxiliary_logits"),
            *("dilation", "num_channels", "encoder_layers", "encoder_ffn_dim", "encoder_attention_heads"),
            *("encoder_layerdrop", "decoder_layerdrop", "position_embedding_type", "max_position_embeddings"),
            *("scale_embedding", "classifier_dropout", "freeze_backbone", "class_cost", "bbox_cost", "giou_cost"),
            *("mask_loss_coefficient", "dice_loss_coefficient", "bbox_loss_coefficient", "giou_loss_coefficient"),
            "eos_coefficient",
        }
    )

    num_queries: Queries = 100
    d_model: Channels = 256
    decoder_layers: Layers = 6
    decoder_attention_heads: Heads = 8
    decoder_ffn_dim: Channels = 2048
    dropout: Probability = 0.1
    attention_dropout: Probability = 0.0
    activation_dropout: Probability = 0.0
    activation_function: Literal["relu", "gelu", "silu", "swish"] = "relu"
    auxiliary_loss: bool = only(False, "it puts the final norm between the layers, which is another network")


@dataclass(kw_only=True)
class MaskFormerFields(ModelFields):
    """Fields of MaskFormer. `fpn_feature_size`, `mask_feature_size`: channels of the pixel decoder and of its mask
    features. `decoder_config`: a mapping with DETR's fields, see `DecoderFields`. `use_auxiliary_loss`: train every
    decoder layer. `output_auxiliary_logits` changes no weight; `forward` of the model class reads it."""

    second_names: ClassVar[Mapping[str, str]] = {"hidden_size": "mask_feature_size"}
    ignored: ClassVar[frozenset[str]] = frozenset({"num_attention_heads", "num_hidden_layers", "num_queries"})

    fpn_feature_size: Channels = 256
    mask_feature_size: Channels = 256
    no_object_weight: Weight = 0.1
    use_auxiliary_loss: bool = False
    decoder_config: Mapping[str, Any] | None = read_apart(None)
    init_std: float = unused(0.02)
    init_xavier_std: float = unused(1.0)
    dice_weight: Weight = 1.0
    cross_entropy_weight: Weight = 1.0
    mask_weight: Weight = 20.0
    output_auxiliary_logits: bool | None = unused(None)


@dataclass(frozen=True, slots=True)
class MaskFormerCheckpoint:
    """Both ways between transformers' MaskFormer and `fpn_pixel_decoder` with `maskformer`."""

    architectures: tuple[str, ...] = ("MaskFormerForInstanceSegmentation",)
    head: str = "maskformer"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = MaskFormerFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        neck = {
            "name": "fpn_pixel_decoder",
            "channels": fields.fpn_feature_size,
            "mask_channels": fields.mask_feature_size,
        }
        criterion = {
            "name": "mask_set",
            "class_weight": fields.cross_entropy_weight,
            "mask_weight": fields.mask_weight,
            "dice_weight": fields.dice_weight,
            "no_object_weight": fields.no_object_weight,
        }
        # With it transformers trains the queries before the first layer too, and no state through the final norm.
        auxiliary = "raw" if fields.use_auxiliary_loss else "none"
        decoder = _decoder(config.get("decoder_config"), faults)
        if config.get("num_queries") not in (None, decoder.get("num_queries")):
            faults.append(
                unsupported("num_queries", config["num_queries"], "decoder_config.num_queries is what counts")
            )
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

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "MaskFormer", necks=["fpn_pixel_decoder"])
        if parts.backbone["model_type"] == "swin":
            parts.backbone["model_type"] = "maskformer-swin"  # what it becomes; with this name its maps are honoured
        is_auxiliary = parts.head["auxiliary"] != "none"
        return parts.config(
            "maskformer",
            self.architectures[0],
            MaskFormerFields,
            fpn_feature_size=parts.necks[0]["channels"],
            mask_feature_size=parts.necks[0]["mask_channels"],
            use_auxiliary_loss=is_auxiliary,
            output_hidden_states=is_auxiliary or None,  # without them, transformers 5 fails in every forward
            decoder_config={"model_type": "detr", **renamed(parts.head, DECODER_OPTIONS)},
            **parts.of_criterion(LOSS_OPTIONS),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        decoder = config.get("decoder_config")
        inside = DecoderFields.notes_on(decoder, "decoder_config") if isinstance(decoder, Mapping) else ()
        return (*notes_on(config, MaskFormerFields), *inside)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "model.pixel_level_module.encoder"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        weights = class_weights(read_class_names(config, [])[1], MaskFormerFields.read(config, []).no_object_weight)
        return {**written, **idle_of_backbone(written, nested, prefix), **weights}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None:
            raise RecipeError([f"MaskFormer config.json: {fault}" for fault in faults])
        levels = len(backbone.levels) if backbone.levels is not None else len(PYRAMID_STRIDES)
        return combine(
            backbone.key_map.under("model.pixel_level_module.encoder", "backbone"),
            _neck_names(levels).under("model.pixel_level_module.decoder", "neck.0"),
            _transformer_names().under("model.transformer_module", "head"),
            _predictor_names(),
        )


MASKFORMER = MaskFormerCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    nested = nested_config(config, faults, _DEFAULT_BACKBONE)
    if nested is None:
        return None
    if isinstance(nested, Mapping) and nested.get("model_type") == "swin":
        # transformers builds its own variant of it, with a norm for each of the four maps.
        nested = {key: value for key, value in nested.items() if key not in ("_out_indices", "_out_features")}
        nested |= {"model_type": "maskformer-swin", "out_indices": [1, 2, 3, 4], "out_features": None}
    return read_nested(nested, faults)


def _decoder(config: Any, faults: list[str]) -> dict[str, Any]:
    if config is None:
        config = {}
    if not isinstance(config, Mapping):
        faults.append(unsupported("decoder_config", config, "it must be a mapping"))
        return {}
    if config.get("model_type", "detr") != "detr":
        faults.append(f"decoder_config.model_type={str(config['model_type'])[:60]!r} is not supported, only 'detr'.")
        return {}
    fields = DecoderFields.read(config, faults, path="decoder_config.")
    return {
        "num_queries": fields.num_queries,
        "channels": fields.d_model,
        "num_layers": fields.decoder_layers,
        "num_heads": fields.decoder_attention_heads,
        "feedforward_channels": fields.decoder_ffn_dim,
        "dropout": fields.dropout,
        "attention_dropout": fields.attention_dropout,
        "activation_dropout": fields.activation_dropout,
        "activation": _ACTIVATIONS[fields.activation_function],
    }


def _deepest(levels: Sequence[Level], faults: list[str]) -> int:
    if tuple(octave(level.stride) for level in levels) == tuple(octave(stride) for stride in PYRAMID_STRIDES):
        return 0
    if len(levels) < 2:
        faults.append(
            f"backbone_config: it returns {len(levels)} map ({', '.join(level.name for level in levels)}) and the "
            f"pixel decoder requires at least 2; transformers builds such a model and fails when it runs. The fix: "
            f"more out_features."
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
