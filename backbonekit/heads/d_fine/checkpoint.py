"""D-FINE as transformers saves it.

Its training differs from transformers' in one point: there the distributions of a layer are compared with the boxes of
the layer before, and those of the last layer but one with none; here, as in the paper's code, each with its own.
Source: transformers/models/d_fine/{configuration,modeling}_d_fine.py; transformers/loss/loss_d_fine.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor

from backbonekit.contract.options import Channels, Range, Weight
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import only, read_apart, unsupported, unused
from backbonekit.heads.shared_checkpoint.idle_weights import (
    idle_of_backbone,
    point_scales,
    without_counters,
    without_unread_norms,
)
from backbonekit.heads.shared_checkpoint.nested_backbone import notes_on
from backbonekit.heads.shared_checkpoint.real_time import (
    RealTimeFields,
    count_levels,
    decoder_options,
    decoder_rules,
    freezing,
    loss_options,
    neck_names,
    neck_options,
    read_nested_backbone,
    start_names,
    with_predictors,
    written_fields,
)
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, combine

_DEFAULT_BACKBONE = {"model_type": "hgnet_v2", "out_indices": [2, 3, 4]}
_BLOCKS = 3  # in every fusion block, times depth_mult


@dataclass(kw_only=True)
class DFineFields(RealTimeFields):
    """Fields of D-FINE. `decoder_n_points`: one number for all levels, or one for each. `activation_dropout` is without
    effect in transformers too."""

    activation_dropout: float = unused(0.0)
    decoder_n_points: int | Sequence[int] = read_apart(4)
    decoder_offset_scale: Weight = 0.5
    decoder_method: Literal["default", "discrete"] = "default"
    weight_loss_fgl: Weight = 0.15
    weight_loss_ddf: Weight = 1.5
    eval_idx: int = read_apart(-1)
    layer_scale: float = only(1, "all layers have the same width")
    max_num_bins: Annotated[int, Range(4, 1_024)] = 32
    reg_scale: Annotated[float, Range(0.01, 1e6)] = 4.0
    depth_mult: Annotated[float, Range(0, 100)] = 1.0
    top_prob_values: Annotated[int, Range(1, 1_024)] = 4
    lqe_hidden_dim: Channels = 64
    lqe_layers: Annotated[int, Range(1, 200)] = 2
    up: Annotated[float, Range(0.01, 1e6)] = 0.5
    tie_word_embeddings: bool = unused(True)


@dataclass(frozen=True, slots=True)
class DFINECheckpoint:
    """Both ways between transformers' D-FINE and `hybrid_encoder` with `d_fine`."""

    architectures: tuple[str, ...] = ("DFineForObjectDetection",)
    head: str = "d_fine"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        fields = DFineFields.read(config, faults)
        labels, num_classes = read_class_names(config, faults)
        levels = count_levels(config, backbone, faults)
        neck = neck_options(fields, levels, fusion="elan", blocks=round(_BLOCKS * fields.depth_mult))
        decoder = decoder_options(fields, fields.decoder_offset_scale, fields.decoder_method)
        decoder |= {
            "num_points": _points(config.get("decoder_n_points"), levels, faults),
            "num_bins": fields.max_num_bins,
            "edge_scale": fields.reg_scale,
            "edge_reach": fields.up,
            "num_quality_bins": fields.top_prob_values,
            "quality_channels": fields.lqe_hidden_dim,
            "num_quality_layers": fields.lqe_layers,
        }
        if config.get("eval_idx") not in (None, -1, fields.decoder_layers - 1):
            faults.append(unsupported("eval_idx", config["eval_idx"], "the last layer returns the prediction"))
        criterion = {
            "name": "edge_box_set",
            **loss_options(fields),
            "edge_weight": fields.weight_loss_fgl,
            "distillation_weight": fields.weight_loss_ddf,
            "matching": "layer",  # as transformers trains
            "edge_scale": fields.reg_scale,
            "edge_reach": fields.up,
        }
        if faults or backbone is None:
            raise RecipeError([f"D-FINE config.json: {fault}" for fault in faults])
        head = {"name": "d_fine", **decoder, "criterion": criterion}
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": freezing(fields),
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "D-FINE", necks=["hybrid_encoder"])
        head = parts.head
        return parts.config(
            "d_fine",
            self.architectures[0],
            DFineFields,
            **written_fields(parts),
            decoder_n_points=list(head["num_points"]),
            depth_mult=parts.necks[0]["num_blocks"] / _BLOCKS,
            max_num_bins=head["num_bins"],
            reg_scale=head["edge_scale"],
            up=head["edge_reach"],
            top_prob_values=head["num_quality_bins"],
            lqe_hidden_dim=head["quality_channels"],
            lqe_layers=head["num_quality_layers"],
            **parts.of_criterion({"weight_loss_fgl": "edge_weight", "weight_loss_ddf": "distillation_weight"}),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DFineFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "model.backbone.model"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        if config.get("freeze_backbone_batch_norms", True):
            written = without_counters(written, prefix)
        return {**written, **idle_of_backbone(written, nested, prefix), **_scales(config)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        if backbone is None:
            raise RecipeError([f"D-FINE config.json: {fault}" for fault in faults])
        decoder = KeyMap(
            [
                *decoder_rules(),
                Rename("layers.{i}.gateway.gate", "layers.{i}.gate.weights"),
                Rename("layers.{i}.gateway.norm", "layers.{i}.gate.norm"),
                Rename("bbox_embed", "edge_predictors"),
                Rename("pre_bbox_head", "first_box_predictor"),
                Rename("lqe_layers.{i}.reg_conf", "qualities.{i}.judge"),
                Rename("up", "edge_reach"),
                Rename("reg_scale", "edge_scale"),
            ]
        )
        table = combine(
            backbone.key_map.under("model.backbone.model", "backbone"),
            neck_names(is_elan=True).under("model", "neck.0"),
            start_names().under("model", "head.start"),
            decoder.under("model.decoder", "head"),
        )
        return with_predictors(DFineFields.read(config, faults), table, "edge_predictors")


D_FINE = DFINECheckpoint()


def _points(given: Any, levels: int, faults: list[str]) -> list[int]:
    """One number for all levels, or one for each."""
    points = [4] * levels if given is None else [given] * levels if isinstance(given, int) else given
    is_list = isinstance(points, list | tuple) and len(points) == levels
    if not is_list or not all(isinstance(one, int) and not isinstance(one, bool) and one >= 1 for one in points):
        why = f"it must be a whole number of at least 1, or one for each of the {levels} levels"
        faults.append(unsupported("decoder_n_points", given, why))
        return [4] * levels
    return list(points)


def _scales(config: Mapping[str, Any]) -> dict[str, Tensor]:
    faults: list[str] = []
    fields = DFineFields.read(config, faults)
    points = _points(config.get("decoder_n_points"), fields.num_feature_levels, faults)
    return point_scales(fields.decoder_layers, points, "num_points_scale")
