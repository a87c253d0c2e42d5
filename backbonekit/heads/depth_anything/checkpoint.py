"""Depth Anything as transformers saves it.

Source: transformers/models/depth_anything/{configuration,modeling}_depth_anything.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor

from backbonekit.contract.options import Channels, Range
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.dpt import (
    DPTLikeFields,
    backbone_field,
    check_levels,
    idle_unit,
    level_count,
    neck_names,
    neck_options,
    written_neck,
)
from backbonekit.heads.shared_checkpoint.fields import read_apart, unsupported
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
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


@dataclass(kw_only=True)
class DepthAnythingFields(DPTLikeFields):
    """Fields of Depth Anything. `patch_size`, `reassemble_hidden_size`: those of the backbone. `max_depth`: in metres,
    of a metric model."""

    patch_size: int = read_apart(14)
    reassemble_hidden_size: Channels = 384
    neck_hidden_sizes: Sequence[Channels] = (48, 96, 192, 384)
    fusion_hidden_size: Channels = 64
    head_hidden_size: Channels = 32
    depth_estimation_type: Literal["relative", "metric"] = "relative"
    max_depth: Annotated[float, Range(1e-6, 1e6)] = 1


@dataclass(frozen=True, slots=True)
class DepthAnythingCheckpoint:
    """Both ways between transformers' Depth Anything and `dpt_reassemble` with `depth_anything`."""

    architectures: tuple[str, ...] = ("DepthAnythingForDepthEstimation",)
    head: str = "depth_anything"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = DepthAnythingFields.read(config, faults)
        nested = _nested(config, faults)
        backbone = read_nested(nested, faults)
        patch_size = backbone_field(nested, faults, "patch_size", _PATCH_SIZE)
        if config.get("patch_size") not in (None, patch_size):
            faults.append(
                unsupported("patch_size", config["patch_size"], f"the backbone's patches have {patch_size} pixels")
            )
        hidden_size = backbone_field(nested, faults, "hidden_size", _HIDDEN_SIZE)
        if fields.reassemble_hidden_size != hidden_size:
            why = f"the backbone's maps have {hidden_size} channels"
            faults.append(unsupported("reassemble_hidden_size", fields.reassemble_hidden_size, why))
        neck = neck_options(fields, config, faults)
        head: dict[str, Any] = {
            "name": "depth_anything",
            "hidden_channels": fields.head_hidden_size,
            "metric": fields.depth_estimation_type == "metric",
            "max_depth": float(fields.max_depth),
        }
        if head["metric"]:
            head["criterion"] = {"name": "metric_depth"}
        check_levels(backbone, neck, faults)
        if faults or backbone is None:
            raise RecipeError([f"Depth Anything config.json: {fault}" for fault in faults])
        return {"schema_version": 2, "backbone": backbone.recipe, "neck": neck, "head": head, "labels": None}

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "Depth Anything", necks=["dpt_reassemble"])
        head, backbone = parts.head, parts.backbone
        if backbone["model_type"] not in _BACKBONES:
            raise RecipeError([_no_backbone(backbone)])
        faults: list[str] = []
        return parts.config(
            "depth_anything",
            self.architectures[0],
            DepthAnythingFields,
            patch_size=backbone_field(backbone, faults, "patch_size", _PATCH_SIZE),
            reassemble_hidden_size=backbone_field(backbone, faults, "hidden_size", _HIDDEN_SIZE),
            head_hidden_size=head["hidden_channels"],
            depth_estimation_type="metric" if head["metric"] else "relative",
            max_depth=head["max_depth"],
            **written_neck(parts, is_pyramid=False),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DepthAnythingFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "backbone"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        return {**written, **idle_of_backbone(written, nested, prefix), **idle_unit(written)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        backbone = read_nested(_nested(config, faults), faults)
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


def _nested(config: Mapping[str, Any], faults: list[str]) -> Mapping[str, Any]:
    nested = config.get("backbone_config")
    if nested is None:
        return _DEFAULT_BACKBONE
    if not isinstance(nested, Mapping):
        faults.append("backbone_config is no mapping.")
        return _DEFAULT_BACKBONE
    if nested.get("model_type") not in _BACKBONES:
        faults.append(_no_backbone(nested))
    return nested


def _no_backbone(nested: Mapping[str, Any]) -> str:
    return (
        f"backbone_config.model_type={str(nested.get('model_type'))[:60]!r} is not supported, only "
        f"{', '.join(_BACKBONES)}: transformers' own model runs on no other. The fix: open one of these and "
        f"swap its backbone."
    )
