"""DETR as transformers saves it.

Source: transformers/models/detr/{configuration,modeling}_detr.py; transformers/conversion_mapping.py, which writes some
names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from backbonekit.contract.options import Weight
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.detr import (
    ACTIVATIONS,
    BOX_COSTS,
    PREFIX,
    SHARED_OPTIONS,
    DetrLikeFields,
    attention_rules,
    backbone_names,
    box_costs,
    detr_backbone,
    feedforward_rules,
    freezing,
)
from backbonekit.heads.shared_checkpoint.fields import unused
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone, without_counters, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import notes_on
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe, renamed
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
    head: str = "detr"

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

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "DETR", necks=["transformer_encoder"])
        head, encoder = parts.head, parts.necks[0]
        return parts.config(
            "detr",
            self.architectures[0],
            DetrFields,
            d_model=encoder["channels"],
            encoder_layers=encoder["num_layers"],
            encoder_attention_heads=encoder["num_heads"],
            encoder_ffn_dim=encoder["feedforward_channels"],
            decoder_layers=head["num_layers"],
            decoder_attention_heads=head["num_heads"],
            decoder_ffn_dim=head["feedforward_channels"],
            attention_dropout=head["attention_dropout"],
            auxiliary_loss=head["norm_between"],
            **renamed(head, SHARED_OPTIONS),
            **parts.of_criterion({**BOX_COSTS, "eos_coefficient": "no_object_weight"}),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DetrFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        written = self.key_map(config).reverse(without_unread_norms(state_dict, config["backbone_config"]))
        idle = idle_of_backbone(written, config["backbone_config"], PREFIX)
        return {**without_counters(written, PREFIX), **idle}

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
