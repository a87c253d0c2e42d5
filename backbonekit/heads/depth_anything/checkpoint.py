"""Depth Anything as transformers saves it.

Source: transformers/models/depth_anything/{configuration,modeling}_depth_anything.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.dpt_fields import (
    backbone_field,
    check_levels,
    level_count,
    neck_names,
    nested_backbone,
    read_neck,
)
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.weights.key_map import KeyMap, Rename, combine

# What transformers fills in where a file has none.
_DEFAULT_BACKBONE = {
    "model_type": "dinov2",
    "image_size": 518,
    "hidden_size": 384,
    "num_attention_heads": 6,
    "out_indices": [9, 10, 11, 12],
    "reshape_hidden_states": False,
}
# The sizes of a DINOv2 that does not say them.
_HIDDEN_SIZE, _PATCH_SIZE = 768, 14
# transformers cuts the class token off token maps, so its model runs on these alone.
_BACKBONES = ("dinov2", "beit")
_IDLE = ("initializer_range", "backbone", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone")


@dataclass(frozen=True, slots=True)
class DepthAnythingCheckpoint:
    """Both ways between transformers' Depth Anything and `dpt_reassemble` with `depth_anything`."""

    architectures: tuple[str, ...] = ("DepthAnythingForDepthEstimation",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = ForeignFields(config, "", idle=_IDLE)
        nested = fields.mapping("backbone_config", _DEFAULT_BACKBONE)
        if nested.get("model_type") not in _BACKBONES:
            faults.append(
                f"backbone_config.model_type={str(nested.get('model_type'))[:60]!r} is not supported, only "
                f"{', '.join(_BACKBONES)}: transformers' own model runs on no other. The fix: open one of these and "
                f"swap its backbone."
            )
        backbone = nested_backbone(nested, faults)
        patch_size = backbone_field(nested, faults, "patch_size", _PATCH_SIZE)
        fields.only("patch_size", patch_size, f"the backbone's patches have {patch_size} pixels")
        hidden_size = backbone_field(nested, faults, "hidden_size", _HIDDEN_SIZE)
        if fields.number("reassemble_hidden_size", 384, low=1) != hidden_size:
            faults.append(
                f"reassemble_hidden_size={str(config.get('reassemble_hidden_size', 384))[:60]} is not supported: the "
                f"backbone's maps have {hidden_size} channels."
            )
        neck = read_neck(fields, (48, 96, 192, 384), fusion=64)
        metric = fields.choice("depth_estimation_type", "relative", {"relative": "relative", "metric": "metric"})
        head: dict[str, Any] = {
            "name": "depth_anything",
            "hidden_channels": fields.number("head_hidden_size", 32, low=1),
            "metric": metric == "metric",
            "max_depth": fields.number("max_depth", 1.0, low=1e-6),
        }
        if head["metric"]:
            head["criterion"] = {"name": "metric_depth"}
        faults.extend(fields.finish())
        check_levels(backbone, neck, faults)
        if faults or backbone is None:
            raise RecipeError([f"Depth Anything config.json: {fault}" for fault in faults])
        return {"schema_version": 2, "backbone": backbone.recipe, "neck": neck, "head": head, "labels": None}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        backbone = nested_backbone(config.get("backbone_config") or _DEFAULT_BACKBONE, faults)
        if backbone is None:
            raise RecipeError([f"Depth Anything config.json: {fault}" for fault in faults])
        return combine(
            backbone.key_map.under("backbone", "backbone"),
            neck_names(level_count(config)),
            KeyMap([Rename("conv1", "narrow"), Rename("conv2", "hidden"), Rename("conv3", "depth")]).under(
                "head", "head"
            ),
        )


DEPTH_ANYTHING = DepthAnythingCheckpoint()
