"""RT-DETR and RT-DETR v2 as transformers saves them: one network, of which the second has more options.

Source: transformers/models/{rt_detr,rt_detr_v2}/{configuration,modeling}_*.py; transformers/loss/loss_rt_detr.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from torch import Tensor

from backbonekit.contract.options import Probability, Range, Weight
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.converter import read_class_names
from backbonekit.heads.shared_checkpoint.fields import read_apart, unused
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

_DEFAULT_BACKBONE = {"model_type": "rt_detr_resnet", "out_indices": [2, 3, 4]}
_BLOCKS = 3  # in every fusion block, which no field decides


@dataclass(kw_only=True)
class RTDetrFields(RealTimeFields):
    """Fields of RT-DETR."""

    activation_dropout: Probability = 0.0
    decoder_n_points: Annotated[int, Range(1, 64)] = 4
    disable_custom_kernels: bool = unused(True)


@dataclass(kw_only=True)
class RTDetrV2Fields(RealTimeFields):
    """Fields of RT-DETR v2, which RT-DETR has not: how far sampling points reach, and how they are read."""

    activation_dropout: Probability = 0.0
    decoder_n_points: Annotated[int, Range(1, 64)] = 4
    decoder_n_levels: int = read_apart(3)
    decoder_offset_scale: Weight = 0.5
    decoder_method: Literal["default", "discrete"] = "default"
    tie_word_embeddings: bool = unused(True)


@dataclass(frozen=True, slots=True)
class RTDETRCheckpoint:
    """Both ways between transformers' RT-DETRs and `hybrid_encoder` with `rt_detr`."""

    architectures: tuple[str, ...] = ("RTDetrForObjectDetection", "RTDetrV2ForObjectDetection")
    head: str = "rt_detr"

    def recipe(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A flat recipe. Raises RecipeError with every field that has no counterpart."""
        faults: list[str] = []
        backbone = read_nested_backbone(config, _DEFAULT_BACKBONE, faults)
        labels, num_classes = read_class_names(config, faults)
        levels = count_levels(config, backbone, faults)
        fields: RTDetrFields | RTDetrV2Fields
        if config.get("model_type") == "rt_detr":
            fields = RTDetrFields.read(config, faults)
            decoder = decoder_options(fields)
        else:
            fields = RTDetrV2Fields.read(config, faults)
            decoder = decoder_options(fields, fields.decoder_offset_scale, fields.decoder_method)
        neck = neck_options(fields, levels, fusion="csp", blocks=_BLOCKS)
        inside = {"activation_dropout": fields.activation_dropout}
        head = {"name": "rt_detr", **decoder, "num_points": [fields.decoder_n_points] * levels, **inside}
        criterion = {"name": "box_set", "classification": "varifocal", **loss_options(fields)}
        if faults or backbone is None:
            raise RecipeError([f"RT-DETR config.json: {fault}" for fault in faults])
        head["criterion"] = criterion
        return {
            "schema_version": 2,
            "backbone": backbone.recipe,
            "neck": {**neck, **inside},
            "head": head if labels else {**head, "num_classes": num_classes},
            "labels": labels,
            "training": freezing(fields),
        }

    def config(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The content of the `config.json` of a flat and complete recipe. Raises RecipeError for what transformers has
        no field for."""
        parts = WrittenRecipe(recipe, "RT-DETR v2", necks=["hybrid_encoder"])
        return parts.config(
            "rt_detr_v2",  # of which RT-DETR is the case without its options
            "RTDetrV2ForObjectDetection",
            RTDetrV2Fields,
            **written_fields(parts),
            decoder_n_levels=len(parts.levels),
            decoder_n_points=parts.head["num_points"][0],
            activation_dropout=parts.head["activation_dropout"],
        )

    def notes(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Which words are ignored."""
        return notes_on(config, _fields_class(config))

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
            raise RecipeError([f"RT-DETR config.json: {fault}" for fault in faults])
        decoder = KeyMap([*decoder_rules(), Rename("bbox_embed", "box_predictors")])
        table = combine(
            backbone.key_map.under("model.backbone.model", "backbone"),
            neck_names(is_elan=False).under("model", "neck.0"),
            start_names().under("model", "head.start"),
            decoder.under("model.decoder", "head"),
        )
        return with_predictors(_fields_class(config).read(config, faults), table, "box_predictors")


RT_DETR = RTDETRCheckpoint()


def _fields_class(config: Mapping[str, Any]) -> type[RTDetrFields] | type[RTDetrV2Fields]:
    return RTDetrFields if config.get("model_type") == "rt_detr" else RTDetrV2Fields


def _scales(config: Mapping[str, Any]) -> dict[str, Tensor]:
    if _fields_class(config) is RTDetrFields:
        return {}
    fields = RTDetrV2Fields.read(config, [])
    return point_scales(fields.decoder_layers, [fields.decoder_n_points] * fields.num_feature_levels, "n_points_scale")
