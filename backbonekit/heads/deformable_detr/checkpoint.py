"""Deformable DETR as transformers saves it.

Source: transformers/models/deformable_detr/{configuration,modeling}_deformable_detr.py;
transformers/conversion_mapping.py, which writes some names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.contract.features import Level, octave
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
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone
from backbonekit.heads.shared_checkpoint.tied_predictors import INSIDE, TiedPredictors
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

_STRIDES = (8, 16, 32, 64)
# Kernels, and what every release returns or ties anyway.
_IDLE = (*IDLE, "return_intermediate", "disable_custom_kernels", "eos_coefficient", "tie_word_embeddings")


@dataclass(frozen=True, slots=True)
class DeformableDetrCheckpoint:
    """Both ways between transformers' Deformable DETR and `channel_mapper`, `deformable_encoder`, `deformable_detr`."""

    architectures: tuple[str, ...] = ("DeformableDetrForObjectDetection",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = ForeignFields(config, "", idle=_IDLE)
        labels, num_classes = read_class_names(config, faults)
        levels = fields.number("num_feature_levels", 4, low=1)
        activation_dropout = fields.number("activation_dropout", 0.0)
        both = {
            "dropout": fields.number("dropout", 0.1),
            "activation_dropout": activation_dropout,
            "activation": fields.choice("activation_function", "relu", ACTIVATIONS),
        }
        two_stage = fields.flag("two_stage", False)
        proposed = fields.number("two_stage_num_proposals", 300, low=1)
        queries = fields.number("num_queries", 300, low=1)
        mapper = {"name": "channel_mapper", "channels": fields.number("d_model", 256, low=1), "norm": "group"}
        encoder = {
            "name": "deformable_encoder",
            "num_layers": fields.number("encoder_layers", 6),
            "num_heads": fields.number("encoder_attention_heads", 8, low=1),
            "num_points": fields.number("encoder_n_points", 4, low=1),
            "feedforward_channels": fields.number("encoder_ffn_dim", 1024, low=1),
            **both,
        }
        head = {
            "name": "deformable_detr",
            "num_queries": proposed if two_stage else queries,
            "num_layers": fields.number("decoder_layers", 6, low=1),
            "num_heads": fields.number("decoder_attention_heads", 8, low=1),
            "num_points": fields.number("decoder_n_points", 4, low=1),
            "feedforward_channels": fields.number("decoder_ffn_dim", 1024, low=1),
            "attention_dropout": fields.number("attention_dropout", 0.0),
            **both,
            "auxiliary": fields.flag("auxiliary_loss", False),
            "box_refinement": fields.flag("with_box_refine", False),
            "two_stage": two_stage,
            "criterion": {
                **box_costs(fields),
                "alpha": fields.number("focal_alpha", 0.25),
                "proposals": "objectness" if two_stage else "classes",
            },
        }
        fields.only("position_embedding_type", "sine", "positions are sines of row and column")
        faults.extend(fields.finish())
        if backbone is not None and backbone.levels is not None:
            mapper["num_extra_levels"] = _extra_levels(backbone, levels, faults)
            head["num_deepest_levels"] = (
                0 if _octaves(backbone.levels, levels) == tuple(map(octave, _STRIDES)) else levels
            )
        if faults or backbone is None:
            raise RecipeError([f"Deformable DETR config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": [mapper, encoder],
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": freezing(backbone),
        }

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None or backbone.levels is None:
            raise RecipeError([f"Deformable DETR config.json: {fault}" for fault in faults or ["no map is chosen."]])
        fields = ForeignFields(config, "")
        refines, two_stage = fields.flag("with_box_refine", False), fields.flag("two_stage", False)
        count = fields.number("decoder_layers", 6) + two_stage if refines else 1
        table = combine(
            backbone_names(backbone),
            _encoder_names(len(backbone.levels), fields.number("num_feature_levels", 4)),
            _decoder_names(refines=refines, two_stage=two_stage),
        )
        return TiedPredictors(table, {"class_embed": count, "bbox_embed": count})


DEFORMABLE_DETR = DeformableDetrCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    levels = config.get("num_feature_levels")
    backbone = detr_backbone(config, faults, out_indices=[4] if levels == 1 else [2, 3, 4])
    if backbone is not None and backbone.levels is None:
        faults.append("backbone_config: it does not say which maps are read. The fix: out_features.")
    return backbone


def _octaves(given: tuple[Level, ...], levels: int) -> tuple[int, ...]:
    """Of all levels, those that the channel mapper adds among them."""
    octaves = [octave(level.stride) for level in given]
    return (*octaves, *(octaves[-1] + step for step in range(1, levels - len(octaves) + 1)))


def _extra_levels(backbone: NestedBackbone, levels: int, faults: list[str]) -> int:
    assert backbone.levels is not None
    extra = levels - len(backbone.levels)
    if extra < 0:
        faults.append(
            f"num_feature_levels={levels} is less than the {len(backbone.levels)} maps of the backbone; transformers "
            f"builds such a model and fails when it runs. The fix: fewer out_features."
        )
    return max(extra, 0)


def _encoder_names(given: int, levels: int) -> KeyMap:
    mapped = [(index, f"lateral.{index}" if index < given else f"extra.{index - given}") for index in range(levels)]
    foreign, ours = "model.encoder.layers.{i}", "neck.1.encoder.layers.{i}"
    return KeyMap(
        [
            *(Rename(f"model.input_proj.{index}.0", f"neck.0.{name}.convolution") for index, name in mapped),
            *(Rename(f"model.input_proj.{index}.1", f"neck.0.{name}.norm") for index, name in mapped),
            Rename("model.level_embed", "neck.1.encoder.level_embedding"),
            *_deformable_rules(f"{foreign}.self_attn", f"{ours}.self_attention"),
            Rename(f"{foreign}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
            *feedforward_rules(foreign, ours),
        ]
    )


def _decoder_names(*, refines: bool, two_stage: bool) -> KeyMap:
    foreign, ours = "model.decoder.layers.{i}", "head.layers.{i}"
    predictors = (("class_embed", "class_predictors", two_stage), ("bbox_embed", "box_predictors", refines))
    return KeyMap(
        [
            *attention_rules(f"{foreign}.self_attn", f"{ours}.self_attention"),
            *_deformable_rules(f"{foreign}.encoder_attn", f"{ours}.cross_attention"),
            Rename(f"{foreign}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
            Rename(f"{foreign}.encoder_attn_layer_norm", f"{ours}.cross_attention_norm"),
            *feedforward_rules(foreign, ours),
            Rename("model.query_position_embeddings", "head.queries"),
            Rename("model.reference_points", "head.reference_predictor"),
            Rename("model.enc_output", "head.proposals.memory_projection"),
            Rename("model.enc_output_norm", "head.proposals.memory_norm"),
            Rename("model.pos_trans", "head.proposals.query_projection"),
            Rename("model.pos_trans_norm", "head.proposals.query_norm"),
            # Written back where the reference's own file has them.
            *(Rename(f"{INSIDE}{kind}.{{i}}", f"head.{name}.{{i}}") for kind, name, inside in predictors if inside),
            *(Rename(f"{kind}.{{i}}", f"head.{name}.{{i}}") for kind, name, _ in predictors),
        ]
    )


def _deformable_rules(foreign: str, ours: str) -> list[Rule]:
    names = (("sampling_offsets", "offsets"), ("attention_weights", "weights"), ("value_proj", "value"))
    return [Rename(f"{foreign}.{theirs}", f"{ours}.{name}") for theirs, name in (*names, ("output_proj", "output"))]
