"""D-FINE as transformers saves it.

Its training differs from transformers' in one point: there the distributions of a layer are judged by the boxes of the
layer before, and the boxes of the last layer but one by nobody; here, as in the paper's code, every layer's by its own.
Source: transformers/models/d_fine/{configuration,modeling}_d_fine.py; transformers/loss/loss_d_fine.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.class_names import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.real_time_fields import (
    IDLE,
    count_levels,
    read_advice,
    read_decoder,
    read_neck,
    read_nested_backbone,
    read_weights,
)
from backbonekit.heads.shared_checkpoint.real_time_names import IDLE_NAMES, decoder_rules, neck_names, start_names
from backbonekit.weights.key_map import KeyMap, Rename, combine

_DEFAULT_BACKBONE = {"model_type": "hgnet_v2", "out_indices": [2, 3, 4]}
_BLOCKS = 3  # in every fusion block, times depth_mult


@dataclass(frozen=True, slots=True)
class DFINECheckpoint:
    """Both ways between transformers' D-FINE and `hybrid_encoder` with `d_fine`."""

    architectures: tuple[str, ...] = ("DFineForObjectDetection",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        fields = ForeignFields(config, "", idle=(*IDLE, "activation_dropout"))
        fields.raw("backbone_config")
        fields.only("backbone", None, "backbone_config says it")
        labels, num_classes = read_class_names(config, faults)
        levels = count_levels(fields, backbone)
        blocks = round(_BLOCKS * fields.number("depth_mult", 1.0))
        neck = read_neck(fields, levels, fusion="elan", blocks=blocks)
        decoder = read_decoder(fields)
        decoder |= {
            "num_points": _points(fields, levels),
            "num_bins": fields.number("max_num_bins", 32, low=4),
            "edge_scale": fields.number("reg_scale", 4.0, low=0.01),
            "edge_reach": fields.number("up", 0.5, low=0.01),
            "num_quality_bins": fields.number("top_prob_values", 4, low=1),
            "quality_channels": fields.number("lqe_hidden_dim", 64, low=1),
            "num_quality_layers": fields.number("lqe_layers", 2, low=1),
        }
        fields.only("layer_scale", 1, "all layers have the same width")
        if fields.raw("eval_idx") not in (None, -1, decoder["num_layers"] - 1):
            fields.only("eval_idx", -1, "the last layer answers")
        criterion = {
            "name": "edge_box_set",
            **read_weights(fields),
            "edge_weight": fields.number("weight_loss_fgl", 0.15),
            "distillation_weight": fields.number("weight_loss_ddf", 1.5),
            "matching": "layer",  # as transformers trains
            "edge_scale": decoder["edge_scale"],
            "edge_reach": decoder["edge_reach"],
        }
        training = read_advice(fields)
        faults = [*fields.finish(), *faults]
        if faults or backbone is None:
            raise RecipeError([f"D-FINE config.json: {fault}" for fault in faults])
        head = {"name": "d_fine", **decoder, "criterion": criterion}
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": neck,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": training,
        }

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
        return combine(
            backbone.key_map.under("model.backbone.model", "backbone"),
            neck_names(is_elan=True).under("model", "neck.0"),
            start_names().under("model", "head.start"),
            decoder.under("model.decoder", "head"),
            KeyMap([], drop=IDLE_NAMES),
        )


D_FINE = DFINECheckpoint()


def _points(fields: ForeignFields, levels: int) -> list[int]:
    """One number for all levels, or one for each."""
    given = fields.raw("decoder_n_points")
    if not isinstance(given, list | tuple):
        return [fields.number("decoder_n_points", 4, low=1)] * levels
    is_right = len(given) == levels and all(isinstance(one, int) and not isinstance(one, bool) for one in given)
    if not is_right or min(given) < 1:
        fields.faults.append(
            f"decoder_n_points={str(given)[:60]} is not supported: it must be a whole number of at least 1, or one for "
            f"each of the {levels} levels."
        )
        return [4] * levels
    return list(given)
