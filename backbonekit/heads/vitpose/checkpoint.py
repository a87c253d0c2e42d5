"""ViTPose as transformers saves it.

Source: transformers/models/vitpose/{configuration,modeling}_vitpose.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.class_names import read_class_names
from backbonekit.heads.shared_checkpoint.dpt_fields import nested_backbone
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone
from backbonekit.weights.key_map import KeyMap, Rename, combine

_MODEL_TYPE = "vitpose_backbone"
# Initialisation, which keypoints a drawing joins, and older ways to name a backbone.
_IDLE = (
    *("initializer_range", "edges", "backbone", "backbone_kwargs", "use_timm_backbone"),
    "use_pretrained_backbone",
)


@dataclass(frozen=True, slots=True)
class ViTPoseCheckpoint:
    """Both ways between transformers' ViTPose and the head `vitpose`."""

    architectures: tuple[str, ...] = ("VitPoseForPoseEstimation",)

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = ForeignFields(config, "", idle=_IDLE)
        backbone = _backbone(fields.mapping("backbone_config", {"model_type": _MODEL_TYPE}), faults)
        labels, num_classes = read_class_names(config, faults)
        head: dict[str, Any] = {
            "name": "vitpose",
            "decoder": "simple" if fields.flag("use_simple_decoder", True) else "classic",
            "scale": fields.number("scale_factor", 4, low=1),
        }
        faults.extend(fields.finish())
        if faults or backbone is None:
            raise RecipeError([f"ViTPose config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": None,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        backbone = _backbone(config.get("backbone_config") or {"model_type": _MODEL_TYPE}, faults)
        if backbone is None:
            raise RecipeError([f"ViTPose config.json: {fault}" for fault in faults])
        decoder = [
            Rename("deconv1", "first"),
            Rename("batchnorm1", "first_norm"),
            Rename("deconv2", "second"),
            Rename("batchnorm2", "second_norm"),
            Rename("conv", "keypoints"),
        ]
        return combine(backbone.key_map.under("backbone", "backbone"), KeyMap(decoder).under("head", "head.decoder"))


VITPOSE = ViTPoseCheckpoint()


def _backbone(nested: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    if nested.get("model_type") != _MODEL_TYPE:
        faults.append(
            f"backbone_config.model_type={str(nested.get('model_type'))[:60]!r} is not supported, only "
            f"{_MODEL_TYPE!r}: transformers' own model runs on no other. The fix: open one of these and swap its "
            f"backbone."
        )
        return None
    if nested.get("num_experts", 1) != 1:
        faults.append(
            f"backbone_config.num_experts={str(nested['num_experts'])[:60]}: the mixture of experts of ViTPose++ is "
            f"not built here. The fix: a checkpoint without experts, such as usyd-community/vitpose-base-simple."
        )
        return None
    return nested_backbone(nested, faults)
