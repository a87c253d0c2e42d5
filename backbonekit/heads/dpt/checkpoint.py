"""DPT for depth as transformers saves it.

Source: transformers/models/dpt/{configuration,modeling}_dpt.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.dpt_fields import (
    check_levels,
    level_count,
    neck_names,
    nested_backbone,
    read_neck,
)
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone
from backbonekit.weights.key_map import KeyMap, Rename, combine

_PYRAMIDS = ("swinv2",)  # whose maps enter the fusion as they are
_PLAIN = ("dinov2", "beit")  # whose tokens transformers takes apart
_WIDTHS = (96, 192, 384, 768)
_READOUTS = {"ignore": "ignore", "add": "add", "project": "project"}
_PROJECTION = 256  # channels of the projection before the head, whatever the fusion's width is
# Of the model's own transformer, of segmentation, of the hybrid, and of initialisation.
_IDLE = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_dropout_prob"),
    *("attention_probs_dropout_prob", "initializer_range", "layer_norm_eps", "image_size", "patch_size"),
    *("num_channels", "qkv_bias", "backbone_out_indices", "use_auxiliary_head", "auxiliary_loss_weight"),
    *("semantic_loss_ignore_index", "semantic_classifier_dropout", "backbone_featmap_shape", "neck_ignore_stages"),
    *("pooler_output_size", "pooler_act", "backbone", "backbone_kwargs", "use_timm_backbone"),
    "use_pretrained_backbone",
)


@dataclass(frozen=True, slots=True)
class DPTCheckpoint:
    """Both ways between transformers' DPT and `dpt_reassemble` with `dpt`."""

    architectures: tuple[str, ...] = ("DPTForDepthEstimation",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = ForeignFields(config, "", idle=_IDLE)
        fields.only("is_hybrid", False, "a ResNet before the transformer is not built here")
        nested = _backbone_config(fields.mapping("backbone_config", {}), faults)
        backbone = nested_backbone(nested, faults) if not faults else None
        neck = read_neck(fields, _WIDTHS, fusion=256)
        readout = fields.choice("readout_type", "project", _READOUTS)
        fields.only("hidden_act", "gelu", "the class token is read out through GELU")
        if nested.get("model_type") in _PYRAMIDS:
            _check_widths(backbone, neck["level_channels"], faults)
            neck = {**neck, "level_channels": None, "factors": None, "readout": "ignore"}
        else:
            neck["readout"] = readout
        norm = "batch" if fields.flag("use_batch_norm_in_fusion_residual", False) else "none"
        head: dict[str, Any] = {
            "name": "dpt",
            "norm": norm,
            "bias": fields.flag("use_bias_in_fusion_residual", norm == "none"),
            "project": fields.flag("add_projection", False),
        }
        if head["project"] and neck["channels"] != _PROJECTION:
            faults.append(
                f"add_projection with fusion_hidden_size={neck['channels']}: transformers projects {_PROJECTION} "
                f"channels, so its own model does not run."
            )
        faults.extend(fields.finish())
        check_levels(backbone, neck, faults)
        if faults or backbone is None:
            raise RecipeError([f"DPT config.json: {fault}" for fault in faults])
        return {"schema_version": 2, "backbone": backbone.recipe, "neck": neck, "head": head, "labels": None}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        nested = _backbone_config(config.get("backbone_config") or {}, faults)
        backbone = nested_backbone(nested, faults) if not faults else None
        if backbone is None:
            raise RecipeError([f"DPT config.json: {fault}" for fault in faults])
        head = [
            Rename("projection", "projection"),
            Rename("head.0", "narrow"),
            Rename("head.2", "hidden"),
            Rename("head.4", "depth"),
        ]
        return combine(
            backbone.key_map.under("backbone", "backbone"),
            neck_names(level_count(config)),
            KeyMap(head).under("head", "head"),
        )


DPT = DPTCheckpoint()


def _backbone_config(nested: Mapping[str, Any], faults: list[str]) -> Mapping[str, Any]:
    if not nested:
        faults.append(
            "without a backbone_config the model has a transformer of its own, which is not built here. The fix: a "
            "DPT with a backbone_config (dinov2, beit, swinv2), or the recipe dpt_dinov2_small."
        )
    elif nested.get("model_type") not in (*_PLAIN, *_PYRAMIDS):
        faults.append(
            f"backbone_config.model_type={str(nested.get('model_type'))[:60]!r} is not supported, only "
            f"{', '.join((*_PLAIN, *_PYRAMIDS))}: transformers' own model runs on no other. The fix: open one of these "
            f"and swap its backbone."
        )
    return nested


def _check_widths(backbone: NestedBackbone | None, widths: list[int], faults: list[str]) -> None:
    if backbone is None or backbone.levels is None:
        return
    own = [level.channels for level in backbone.levels]
    if own != widths:
        faults.append(f"neck_hidden_sizes={widths} is not supported: the backbone's maps have {own} channels.")
