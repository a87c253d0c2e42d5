"""DETR as transformers saves it.

Source: transformers/models/detr/{configuration,modeling}_detr.py; transformers/conversion_mapping.py, which writes some
names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.class_names import read_class_names
from backbonekit.heads.shared_checkpoint.detr_fields import (
    ACTIVATIONS,
    IDLE,
    attention_rules,
    backbone_names,
    box_costs,
    detr_backbone,
    feedforward_rules,
    freezing,
)
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.weights.key_map import KeyMap, Rename, combine

_OUT_INDICES = [1, 2, 3, 4]  # of a timm network where nobody says; only the last map is read


@dataclass(frozen=True, slots=True)
class DetrCheckpoint:
    """Both ways between transformers' DETR and `transformer_encoder` with `detr`."""

    architectures: tuple[str, ...] = ("DetrForObjectDetection",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = detr_backbone(config, faults, out_indices=_OUT_INDICES)
        fields = ForeignFields(config, "", idle=IDLE)
        labels, num_classes = read_class_names(config, faults)
        both = {
            "dropout": fields.number("dropout", 0.1),
            "attention_dropout": fields.number("attention_dropout", 0.0),
            "activation_dropout": fields.number("activation_dropout", 0.0),
            "activation": fields.choice("activation_function", "relu", ACTIVATIONS),
        }
        # With it transformers also puts the final norm between the layers.
        auxiliary = fields.flag("auxiliary_loss", False)
        neck = {
            "name": "transformer_encoder",
            "channels": fields.number("d_model", 256, low=1),
            "num_layers": fields.number("encoder_layers", 6),
            "num_heads": fields.number("encoder_attention_heads", 8, low=1),
            "feedforward_channels": fields.number("encoder_ffn_dim", 2048, low=1),
            **both,
        }
        head = {
            "name": "detr",
            "num_queries": fields.number("num_queries", 100, low=1),
            "num_layers": fields.number("decoder_layers", 6),
            "num_heads": fields.number("decoder_attention_heads", 8, low=1),
            "feedforward_channels": fields.number("decoder_ffn_dim", 2048, low=1),
            **both,
            "auxiliary": auxiliary,
            "norm_between": auxiliary,
            "criterion": {**box_costs(fields), "no_object_weight": fields.number("eos_coefficient", 0.1)},
        }
        fields.only("position_embedding_type", "sine", "positions are sines of row and column")
        faults.extend(fields.finish())
        if faults or backbone is None:
            raise RecipeError([f"DETR config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": freezing(backbone),
        }

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = detr_backbone(config, faults, out_indices=_OUT_INDICES)
        if backbone is None:
            raise RecipeError([f"DETR config.json: {fault}" for fault in faults])
        return combine(backbone_names(backbone), _transformer_names())


DETR = DetrCheckpoint()


def _transformer_names() -> KeyMap:
    encoder, decoder = (
        ("model.encoder.layers.{i}", "neck.0.layers.{i}"),
        ("model.decoder.layers.{i}", "head.layers.{i}"),
    )
    return KeyMap(
        [
            Rename("model.input_projection", "neck.0.input_projection"),
            *attention_rules(f"{encoder[0]}.self_attn", f"{encoder[1]}.self_attention"),
            Rename(f"{encoder[0]}.self_attn_layer_norm", f"{encoder[1]}.self_attention_norm"),
            *feedforward_rules(*encoder),
            Rename("model.query_position_embeddings", "head.queries"),
            *attention_rules(f"{decoder[0]}.self_attn", f"{decoder[1]}.self_attention"),
            *attention_rules(f"{decoder[0]}.encoder_attn", f"{decoder[1]}.cross_attention"),
            Rename(f"{decoder[0]}.self_attn_layer_norm", f"{decoder[1]}.self_attention_norm"),
            Rename(f"{decoder[0]}.encoder_attn_layer_norm", f"{decoder[1]}.cross_attention_norm"),
            *feedforward_rules(*decoder),
            Rename("model.decoder.layernorm", "head.norm"),
            Rename("class_labels_classifier", "head.class_predictor"),
            Rename("bbox_predictor", "head.box_predictor"),
        ]
    )
