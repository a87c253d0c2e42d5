"""RT-DETR and RT-DETR v2 as transformers saves them: one network, of which the second has more options.

Source: transformers/models/{rt_detr,rt_detr_v2}/{configuration,modeling}_*.py; transformers/loss/loss_rt_detr.py.
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

_DEFAULT_BACKBONE = {"model_type": "rt_detr_resnet", "out_indices": [2, 3, 4]}
_BLOCKS = 3  # in every fusion block, which no field says
_ONLY_IN_V2 = ("decoder_n_levels", "decoder_offset_scale", "decoder_method")


@dataclass(frozen=True, slots=True)
class RTDETRCheckpoint:
    """Both ways between transformers' RT-DETRs and `hybrid_encoder` with `rt_detr`."""

    architectures: tuple[str, ...] = ("RTDetrForObjectDetection", "RTDetrV2ForObjectDetection")

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        fields = ForeignFields(config, "", idle=IDLE)
        fields.raw("backbone_config")
        fields.only("backbone", None, "backbone_config says it")
        if config.get("model_type") == "rt_detr":
            for name in _ONLY_IN_V2:
                fields.only(name, None, "the first version reads no such field")
        labels, num_classes = read_class_names(config, faults)
        levels = count_levels(fields, backbone)
        neck = read_neck(fields, levels, fusion="csp", blocks=_BLOCKS)
        inside = {"activation_dropout": fields.number("activation_dropout", 0.0)}
        points = {"num_points": [fields.number("decoder_n_points", 4, low=1)] * levels}
        head = {"name": "rt_detr", **read_decoder(fields), **points, **inside}
        criterion = {"name": "box_set", "classification": "varifocal", **read_weights(fields)}
        training = read_advice(fields)
        faults = [*fields.finish(), *faults]
        if faults or backbone is None:
            raise RecipeError([f"RT-DETR config.json: {fault}" for fault in faults])
        head["criterion"] = criterion
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": {**neck, **inside},
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": training,
        }

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk and in memory; those on disk are the ones written back."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        if backbone is None:
            raise RecipeError([f"RT-DETR config.json: {fault}" for fault in faults])
        decoder = KeyMap([*decoder_rules(), Rename("bbox_embed", "box_predictors")])
        return combine(
            backbone.key_map.under("model.backbone.model", "backbone"),
            neck_names(is_elan=False).under("model", "neck.0"),
            start_names().under("model", "head.start"),
            decoder.under("model.decoder", "head"),
            KeyMap([], drop=IDLE_NAMES),
        )


RT_DETR = RTDETRCheckpoint()
