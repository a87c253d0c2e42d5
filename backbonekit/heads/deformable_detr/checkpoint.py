"""Deformable DETR as transformers saves it.

Source: transformers/models/deformable_detr/{configuration,modeling}_deformable_detr.py;
transformers/conversion_mapping.py, which writes some names otherwise on disk than they are in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from backbonekit.contract.features import Level, octave
from backbonekit.contract.options import Channels, Queries, Range, Weight
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
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, notes_on
from backbonekit.heads.shared_checkpoint.tied_predictors import INSIDE, TiedPredictors
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe, renamed
from backbonekit.weights.key_map import KeyMap, Rename, Rule, combine

_STRIDES = (8, 16, 32, 64)
Points = Annotated[int, Range(1, 64)]


@dataclass(kw_only=True)
class DeformableDetrFields(DetrLikeFields):
    """Fields of Deformable DETR. With `two_stage`, `two_stage_num_proposals` replaces `num_queries`."""

    num_queries: Queries = 300
    max_position_embeddings: int = unused(1024)
    encoder_ffn_dim: Channels = 1024
    decoder_ffn_dim: Channels = 1024
    decoder_layers: Annotated[int, Range(1, 200)] = 6
    return_intermediate: bool = unused(True)
    num_feature_levels: Annotated[int, Range(1, 64)] = 4
    encoder_n_points: Points = 4
    decoder_n_points: Points = 4
    two_stage: bool = False
    two_stage_num_proposals: Queries = 300
    with_box_refine: bool = False
    eos_coefficient: float = unused(0.1)
    focal_alpha: Weight = 0.25
    disable_custom_kernels: bool = unused(False)
    tie_word_embeddings: bool = unused(True)


@dataclass(frozen=True, slots=True)
class DeformableDetrCheckpoint:
    """Both ways between transformers' Deformable DETR and `channel_mapper`, `deformable_encoder`, `deformable_detr`."""

    architectures: tuple[str, ...] = ("DeformableDetrForObjectDetection",)
    head: str = "deformable_detr"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        fields = DeformableDetrFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        levels = fields.num_feature_levels
        both = {
            "dropout": fields.dropout,
            "activation_dropout": fields.activation_dropout,
            "activation": ACTIVATIONS[fields.activation_function],
        }
        mapper = {"name": "channel_mapper", "channels": fields.d_model, "norm": "group"}
        encoder = {
            "name": "deformable_encoder",
            "num_layers": fields.encoder_layers,
            "num_heads": fields.encoder_attention_heads,
            "num_points": fields.encoder_n_points,
            "feedforward_channels": fields.encoder_ffn_dim,
            **both,
        }
        head = {
            "name": "deformable_detr",
            "num_queries": fields.two_stage_num_proposals if fields.two_stage else fields.num_queries,
            "num_layers": fields.decoder_layers,
            "num_heads": fields.decoder_attention_heads,
            "num_points": fields.decoder_n_points,
            "feedforward_channels": fields.decoder_ffn_dim,
            "attention_dropout": fields.attention_dropout,
            **both,
            "auxiliary": fields.auxiliary_loss,
            "box_refinement": fields.with_box_refine,
            "two_stage": fields.two_stage,
            "criterion": {
                **box_costs(fields),
                "alpha": fields.focal_alpha,
                "proposals": "objectness" if fields.two_stage else "classes",
            },
        }
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

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "Deformable DETR", necks=["channel_mapper", "deformable_encoder"])
        head, (mapper, encoder) = parts.head, parts.necks
        parts.check_layers(head["num_layers"] + head["two_stage"])
        return parts.config(
            "deformable_detr",
            self.architectures[0],
            DeformableDetrFields,
            d_model=mapper["channels"],
            num_feature_levels=len(parts.levels) + mapper["num_extra_levels"],
            encoder_layers=encoder["num_layers"],
            encoder_attention_heads=encoder["num_heads"],
            encoder_n_points=encoder["num_points"],
            encoder_ffn_dim=encoder["feedforward_channels"],
            decoder_layers=head["num_layers"],
            decoder_attention_heads=head["num_heads"],
            decoder_n_points=head["num_points"],
            decoder_ffn_dim=head["feedforward_channels"],
            attention_dropout=head["attention_dropout"],
            auxiliary_loss=head["auxiliary"],
            with_box_refine=head["box_refinement"],
            two_stage=head["two_stage"],
            two_stage_num_proposals=head["num_queries"],
            **renamed(head, SHARED_OPTIONS),
            **parts.of_criterion({**BOX_COSTS, "focal_alpha": "alpha"}),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DeformableDetrFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        written = self.key_map(config).reverse(without_unread_norms(state_dict, config["backbone_config"]))
        idle = idle_of_backbone(written, config["backbone_config"], PREFIX)
        return {**without_counters(written, PREFIX), **idle}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = _backbone(config, faults)
        if backbone is None or backbone.levels is None:
            raise RecipeError([f"Deformable DETR config.json: {fault}" for fault in faults or ["no map is chosen."]])
        fields = DeformableDetrFields.read(config, faults)
        count = fields.decoder_layers + fields.two_stage if fields.with_box_refine else 1
        table = combine(
            backbone_names(backbone),
            _encoder_names(len(backbone.levels), fields.num_feature_levels),
            _decoder_names(refines=fields.with_box_refine, two_stage=fields.two_stage),
        )
        return TiedPredictors(table, {"class_embed": count, "bbox_embed": count}, first_for_all=True)


DEFORMABLE_DETR = DeformableDetrCheckpoint()


def _backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    levels = config.get("num_feature_levels")
    backbone = detr_backbone(config, faults, out_indices=[4] if levels == 1 else [2, 3, 4])
    if backbone is not None and backbone.levels is None:
        faults.append("backbone_config: which maps are read is not given. The fix: out_features.")
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
    prefix, ours = "model.encoder.layers.{i}", "neck.1.encoder.layers.{i}"
    return KeyMap(
        [
            *(Rename(f"model.input_proj.{index}.0", f"neck.0.{name}.convolution") for index, name in mapped),
            *(Rename(f"model.input_proj.{index}.1", f"neck.0.{name}.norm") for index, name in mapped),
            Rename("model.level_embed", "neck.1.encoder.level_embedding"),
            *_deformable_rules(f"{prefix}.self_attn", f"{ours}.self_attention"),
            Rename(f"{prefix}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
            *feedforward_rules(prefix, ours),
        ]
    )


def _decoder_names(*, refines: bool, two_stage: bool) -> KeyMap:
    prefix, ours = "model.decoder.layers.{i}", "head.layers.{i}"
    predictors = (("class_embed", "class_predictors", two_stage), ("bbox_embed", "box_predictors", refines))
    return KeyMap(
        [
            *attention_rules(f"{prefix}.self_attn", f"{ours}.self_attention"),
            *_deformable_rules(f"{prefix}.encoder_attn", f"{ours}.cross_attention"),
            Rename(f"{prefix}.self_attn_layer_norm", f"{ours}.self_attention_norm"),
            Rename(f"{prefix}.encoder_attn_layer_norm", f"{ours}.cross_attention_norm"),
            *feedforward_rules(prefix, ours),
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


def _deformable_rules(prefix: str, ours: str) -> list[Rule]:
    names = (("sampling_offsets", "offsets"), ("attention_weights", "weights"), ("value_proj", "value"))
    return [Rename(f"{prefix}.{theirs}", f"{ours}.{name}") for theirs, name in (*names, ("output_proj", "output"))]
