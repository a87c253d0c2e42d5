"""DPT for depth as transformers saves it.

Source: transformers/models/dpt/{configuration,modeling}_dpt.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.dpt import (
    DPTLikeFields,
    check_levels,
    idle_unit,
    level_count,
    neck_names,
    neck_options,
    written_neck,
)
from backbonekit.heads.shared_checkpoint.fields import only, unused
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, combine

_PYRAMIDS = ("swinv2",)  # whose maps enter the fusion as they are
_PLAIN = ("dinov2", "beit")  # whose tokens transformers takes apart
_PROJECTION = 256  # channels of the projection before the head, whatever the fusion's width is


@dataclass(kw_only=True)
class DPTFields(DPTLikeFields):
    """Fields of DPT. Unused are those of the model's own transformer, of segmentation and of the hybrid."""

    # Releases before 5 write it; whether a `backbone_config` is there decides.
    ignored: ClassVar[frozenset[str]] = DPTLikeFields.ignored | {"use_autobackbone"}

    hidden_size: int = unused(768)
    num_hidden_layers: int = unused(12)
    num_attention_heads: int = unused(12)
    intermediate_size: int = unused(3072)
    hidden_act: str = only("gelu", "the class token is read out through GELU")
    hidden_dropout_prob: float = unused(0.0)
    attention_probs_dropout_prob: float = unused(0.0)
    layer_norm_eps: float = unused(1e-12)
    image_size: int = unused(384)
    patch_size: int = unused(16)
    num_channels: int = unused(3)
    is_hybrid: bool = only(False, "a ResNet before the transformer is not built here")
    qkv_bias: bool = unused(True)
    backbone_out_indices: Sequence[int] | None = unused((2, 5, 8, 11))
    readout_type: Literal["ignore", "add", "project"] = "project"
    use_batch_norm_in_fusion_residual: bool = False
    use_bias_in_fusion_residual: bool | None = None
    add_projection: bool = False
    use_auxiliary_head: bool = unused(True)
    auxiliary_loss_weight: float = unused(0.4)
    semantic_loss_ignore_index: int = unused(255)
    semantic_classifier_dropout: float = unused(0.1)
    backbone_featmap_shape: Sequence[int] | None = unused((1, 1024, 24, 24))
    neck_ignore_stages: Sequence[int] = unused((0, 1))
    pooler_output_size: int | None = unused(None)
    pooler_act: str = unused("tanh")


@dataclass(frozen=True, slots=True)
class DPTCheckpoint:
    """Both ways between transformers' DPT and `dpt_reassemble` with `dpt`."""

    architectures: tuple[str, ...] = ("DPTForDepthEstimation",)
    head: str = "dpt"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = DPTFields.read(config, faults)
        wrong: list[str] = []
        nested = _backbone_config(config.get("backbone_config"), wrong)
        backbone = read_nested(nested, wrong) if not wrong else None
        faults.extend(wrong)
        neck = neck_options(fields, config, faults)
        if nested.get("model_type") in _PYRAMIDS:
            _check_widths(backbone, neck["level_channels"], faults)
            neck = {**neck, "level_channels": None, "factors": None, "readout": "ignore"}
        else:
            neck["readout"] = fields.readout_type
        norm = "batch" if fields.use_batch_norm_in_fusion_residual else "none"
        bias = fields.use_bias_in_fusion_residual
        head: dict[str, Any] = {
            "name": "dpt",
            "norm": norm,
            "bias": norm == "none" if bias is None else bias,
            "project": fields.add_projection,
        }
        if head["project"] and neck["channels"] != _PROJECTION:
            faults.append(
                f"add_projection with fusion_hidden_size={neck['channels']}: transformers projects {_PROJECTION} "
                f"channels, so its own model does not run."
            )
        check_levels(backbone, neck, faults)
        if faults or backbone is None:
            raise RecipeError([f"DPT config.json: {fault}" for fault in faults])
        return {"schema_version": 2, "backbone": backbone.recipe, "neck": neck, "head": head, "labels": None}

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "DPT", necks=["dpt_reassemble"])
        head = parts.head
        is_pyramid = parts.backbone["model_type"] in _PYRAMIDS
        return parts.config(
            "dpt",
            self.architectures[0],
            DPTFields,
            readout_type=parts.necks[0]["readout"],
            use_batch_norm_in_fusion_residual=head["norm"] == "batch",
            use_bias_in_fusion_residual=head["norm"] == "none" if head["bias"] is None else head["bias"],
            add_projection=head["project"],
            **written_neck(parts, is_pyramid=is_pyramid),
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, DPTFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "backbone"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        return {**written, **idle_of_backbone(written, nested, prefix), **idle_unit(written)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        nested = _backbone_config(config.get("backbone_config"), faults)
        backbone = read_nested(nested, faults) if not faults else None
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


def _backbone_config(nested: Any, faults: list[str]) -> Mapping[str, Any]:
    if nested is not None and not isinstance(nested, Mapping):
        faults.append("backbone_config is no mapping.")
        return {}
    if not nested:
        faults.append(
            "without a backbone_config the model has a transformer of its own, which is not built here. The fix: a "
            "DPT with a backbone_config (dinov2, beit, swinv2), or the recipe dpt_dinov2_small."
        )
        return {}
    if nested.get("model_type") not in (*_PLAIN, *_PYRAMIDS):
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
