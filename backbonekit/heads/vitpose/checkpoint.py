"""ViTPose as transformers saves it.

Source: transformers/models/vitpose/{configuration,modeling}_vitpose.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import Tensor

from backbonekit.contract.options import Range
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import ModelFields, unused
from backbonekit.heads.shared_checkpoint.idle_weights import idle_of_backbone, without_unread_norms
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, notes_on, read_nested
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, combine

_MODEL_TYPE = "vitpose_backbone"


@dataclass(kw_only=True)
class VitPoseFields(ModelFields):
    """Fields of ViTPose. `edges` of older files, which keypoints a drawing joins, are ignored."""

    ignored: ClassVar[frozenset[str]] = frozenset({"edges"})

    initializer_range: float = unused(0.02)
    scale_factor: Annotated[int, Range(1, 64)] = 4
    use_simple_decoder: bool = True


@dataclass(frozen=True, slots=True)
class ViTPoseCheckpoint:
    """Both ways between transformers' ViTPose and the head `vitpose`."""

    architectures: tuple[str, ...] = ("VitPoseForPoseEstimation",)
    head: str = "vitpose"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        fields = VitPoseFields.read(config, faults)
        backbone = _backbone(config.get("backbone_config"), faults)
        labels, num_classes = read_class_names(config, faults)
        head: dict[str, Any] = {
            "name": "vitpose",
            "decoder": "simple" if fields.use_simple_decoder else "classic",
            "scale": fields.scale_factor,
        }
        if faults or backbone is None:
            raise RecipeError([f"ViTPose config.json: {fault}" for fault in faults])
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": None,
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "ViTPose")
        simple = parts.head["decoder"] == "simple"
        return parts.config(
            "vitpose", self.architectures[0], VitPoseFields, scale_factor=parts.head["scale"], use_simple_decoder=simple
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, VitPoseFields)

    def weights(self, config: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights by transformers' names."""
        nested, prefix = config["backbone_config"], "backbone"
        written = self.key_map(config).reverse(without_unread_norms(state_dict, nested))
        return {**written, **idle_of_backbone(written, nested, prefix)}

    def key_map(self, config: Mapping[str, Any]) -> KeyMap:
        """Names on disk, which are those in memory."""
        faults: list[str] = []
        backbone = _backbone(config.get("backbone_config"), faults)
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


def _backbone(nested: Any, faults: list[str]) -> NestedBackbone | None:
    if nested is None:
        nested = {"model_type": _MODEL_TYPE}
    if not isinstance(nested, Mapping):
        faults.append("backbone_config is no mapping.")
        return None
    if nested.get("model_type") != _MODEL_TYPE:
        faults.append(
            f"backbone_config.model_type={str(nested.get('model_type'))[:60]!r} is not supported, only "
            f"{_MODEL_TYPE!r}: transformers' own model runs on no other. The fix: open one of these and swap its "
            f"backbone."
        )
        return None
    return read_nested(nested, faults)
