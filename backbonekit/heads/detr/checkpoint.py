"""DETR as transformers saves it.

Source: transformers/models/detr/{configuration,modeling}_detr.py; transformers/conversion_mapping.py, which writes some
names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backbonekit.contract.options import Weight
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.detr import (
    ACTIVATIONS,
    DetrLikeFields,
    attention_rules,
    backbone_names,
    box_costs,
    detr_backbone,
    feedforward_rules,
    freezing,
)
from backbonekit.heads.shared_checkpoint.fields import unused
from backbonekit.heads.shared_checkpoint.nested_backbone import notes_on
from backbonekit.weights.key_map import KeyMap, Rename, combine

_OUT_INDICES = [1, 2, 3, 4]  # of a timm architecture by default; only the last map is read


@dataclass(kw_only=True)
class DetrFields(DetrLikeFields):
    """Fields of DETR. With `auxiliary_loss` every layer of the decoder is trained, and the final norm stands between
    the layers too."""

    second_names: ClassVar[Mapping[str, str]] = {**DetrLikeFields.second_names, "num_hidden_layers": "encoder_layers"}

    decoder_layerdrop: float = unused(0.0)
    eos_coefficient: Weight = 0.1


@dataclass(frozen=True, slots=True)
class DetrCheckpoint:
    """Both ways between transformers' DETR and `transformer_encoder` with `detr`."""

    architectures: tuple[str, ...] = ("DetrForObjectDetection",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = detr_backbone(config, faults, out_indices=_OUT_INDICES)
        fields = DetrFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        both = {
            "dropout": fields.dropout,
            "attention_dropout": fields.attention_dropout,
            "activation_dropout": fields.activation_dropout,
            "activation": ACTIVATIONS[fields.activation_function],
        }
        neck = {
            "name": "transformer_encoder",
            "channels": fields.d_model,
            "num_layers": fields.encoder_layers,
            "num_heads": fields.encoder_attention_heads,
            "feedforward_channels": fields.encoder_ffn_dim,
            **both,
        }
        head = {
            "name": "detr",
            "num_queries": fields.num_queries,
            "num_layers": fields.decoder_layers,
            "num_heads": fields.decoder_attention_heads,
            "feedforward_channels": fields.decoder_ffn_dim,
            **both,
            "auxiliary": fields.auxiliary_loss,
            "norm_between": fields.auxiliary_loss,
            "criterion": {**box_costs(fields), "no_object_weight": fields.eos_coefficient},
        }
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

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DetrFields)

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
