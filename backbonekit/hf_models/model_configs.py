"""The configuration of each whole model: transformers' fields and defaults, and the ways to name a backbone."""

from collections.abc import Mapping
from dataclasses import dataclass, fields as dataclass_fields
from types import MappingProxyType
from typing import Any, TypeVar

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.errors import ContractError
from backbonekit.heads.d_fine.checkpoint import DFineFields
from backbonekit.heads.deformable_detr.checkpoint import DeformableDetrFields
from backbonekit.heads.depth_anything.checkpoint import DepthAnythingFields
from backbonekit.heads.detr.checkpoint import DetrFields
from backbonekit.heads.dpt.checkpoint import DPTFields
from backbonekit.heads.mask2former.checkpoint import Mask2FormerFields
from backbonekit.heads.maskformer.checkpoint import DECODER_OPTIONS, LOSS_OPTIONS, DecoderFields, MaskFormerFields
from backbonekit.heads.rt_detr.checkpoint import RTDetrFields, RTDetrV2Fields
from backbonekit.heads.shared_checkpoint.fields import BACKBONE_FIELDS
from backbonekit.heads.upernet.checkpoint import UperNetFields
from backbonekit.heads.vitpose.checkpoint import VitPoseFields
from backbonekit.hf_models.backbone_choice import config_of_recipe
from backbonekit.hf_models.model_config import ModelConfig, model_config
from backbonekit.recipe.recipe import Recipe

MaskFormer = TypeVar("MaskFormer", bound="MaskFormerConfig")


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class DFineConfig(ModelConfig, DFineFields):
    """Of a `DFineForObjectDetection`. `DFineFields` and `ModelConfig` say what the fields mean."""

    model_type = "d_fine"
    architecture = "DFineForObjectDetection"
    is_encoder_decoder: bool = True
    initializer_range: float = 0.01


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class DeformableDetrConfig(ModelConfig, DeformableDetrFields):
    """Of a `DeformableDetrForObjectDetection`. `DeformableDetrFields` and `ModelConfig` say what the fields mean."""

    model_type = "deformable_detr"
    architecture = "DeformableDetrForObjectDetection"
    is_encoder_decoder: bool = True
    default_timm = "resnet50"
    default_strides = (8, 16, 32)


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class DepthAnythingConfig(ModelConfig, DepthAnythingFields):
    """Of a `DepthAnythingForDepthEstimation`. `DepthAnythingFields` and `ModelConfig` say what the fields mean."""

    model_type = "depth_anything"
    architecture = "DepthAnythingForDepthEstimation"


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class DetrConfig(ModelConfig, DetrFields):
    """Of a `DetrForObjectDetection`. `DetrFields` and `ModelConfig` say what the fields mean."""

    model_type = "detr"
    architecture = "DetrForObjectDetection"
    is_encoder_decoder: bool = True
    default_timm = "resnet50"


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class DPTConfig(ModelConfig, DPTFields):
    """Of a `DPTForDepthEstimation`. `DPTFields` and `ModelConfig` say what the fields mean."""

    model_type = "dpt"
    architecture = "DPTForDepthEstimation"
    stand_in = MappingProxyType({"model_type": "dinov2", "out_indices": [3, 6, 9, 12]})


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class Mask2FormerConfig(ModelConfig, Mask2FormerFields):
    """Of a `Mask2FormerForUniversalSegmentation`. `Mask2FormerFields` and `ModelConfig` say what the fields mean."""

    model_type = "mask2former"
    architecture = "Mask2FormerForUniversalSegmentation"


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class MaskFormerConfig(ModelConfig, MaskFormerFields):
    """Of a `MaskFormerForInstanceSegmentation`. `MaskFormerFields` and `ModelConfig` say what the fields mean.
    `decoder_config`: a `DetrConfig` or a mapping of its fields, of which the decoder's are read."""

    model_type = "maskformer"
    architecture = "MaskFormerForInstanceSegmentation"
    norms_each_map = True

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _decoder_of(value) if name == "decoder_config" else value)

    def attach(self, model: Any) -> None:
        """From now on this is the configuration of `model`, and so are its backbone's and its decoder's."""
        super().attach(model)
        assert isinstance(self.decoder_config, DetrConfig)  # read when it was set
        self.decoder_config.attach(model)

    def _rest(self) -> dict[str, Any]:
        assert isinstance(self.decoder_config, DetrConfig)  # read when it was set
        decoder = {name: getattr(self.decoder_config, name) for name in _DECODER_FIELDS}
        decoder = {"model_type": "detr", **decoder, **self.decoder_config.others}
        return {**super()._rest(), "decoder_config": decoder}

    @classmethod
    def from_dict(cls: type[MaskFormer], fields: Mapping[str, Any], **changes: Any) -> MaskFormer:
        """From the content of a `config.json`; generic fields are passed over. `changes`: fields to set otherwise.
        Raises RecipeError for the file of another model."""
        nested = fields.get("backbone_config")
        if isinstance(nested, Mapping) and nested.get("model_type") == "swin":
            # transformers passes all four maps of a Swin to MaskFormer, whatever its file selects.
            nested = {key: value for key, value in nested.items() if key not in ("out_features", "out_indices")}
            fields = {**fields, "backbone_config": nested}
        config = super().from_dict(fields, **changes)
        decoder = fields.get("decoder_config")
        if isinstance(decoder, Mapping):
            object.__setattr__(config, "notes", (*config.notes, *DecoderFields.notes_on(decoder, "decoder_config")))
        return config

    @classmethod
    def from_recipe(cls: type[MaskFormer], recipe: Recipe, *, origin: str = "the recipe") -> MaskFormer:
        """Of a model with this head: the configuration with the same recipe. Raises ContractError for others.

        An inserted pyramid is left out, since it is inserted again.
        """
        head = recipe.head
        decoder = next((part.options for part in recipe.neck if part.name == "fpn_pixel_decoder"), None)
        if head is None or head.name != "maskformer" or decoder is None:
            name = "none" if head is None else head.name
            raise ContractError(
                f"{origin}: the model's head is {name}, and no MaskFormer on an fpn_pixel_decoder; load_model opens any"
                " model."
            )
        loss = {} if head.criterion is None else head.criterion.options
        count = {} if recipe.labels is not None else {"num_labels": head.options["num_classes"]}
        return cls(
            backbone_config=config_of_recipe(
                recipe.backbone,
                freezes_norms=recipe.training.get("freeze", {}).get("norms", False),
                # A pyramid was inserted because no maps were chosen; it is inserted again.
                maps_were_chosen=all(part.name == "fpn_pixel_decoder" for part in recipe.neck),
            ),
            id2label=None if recipe.labels is None else dict(enumerate(recipe.labels.names)),
            fpn_feature_size=decoder["channels"],
            mask_feature_size=decoder["mask_channels"],
            use_auxiliary_loss=head.options["auxiliary"] != "none",
            decoder_config={theirs: head.options[ours] for theirs, ours in DECODER_OPTIONS.items()},
            **{theirs: loss[ours] for theirs, ours in LOSS_OPTIONS.items() if ours in loss},
            **count,
        )

    def _fit_named_backbone(self, mapping: dict[str, Any]) -> None:
        backbone = mapping["backbone"]
        chosen = backbone["out_features"] if "out_features" in backbone else backbone["out_indices"]
        mapping["neck"]["num_deepest_levels"] = 0 if chosen == "auto" else len(chosen)


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class RTDetrConfig(ModelConfig, RTDetrFields):
    """Of a `RTDetrForObjectDetection`. `RTDetrFields` and `ModelConfig` say what the fields mean."""

    model_type = "rt_detr"
    architecture = "RTDetrForObjectDetection"
    is_encoder_decoder: bool = True
    initializer_range: float = 0.01


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class RTDetrV2Config(ModelConfig, RTDetrV2Fields):
    """Of a `RTDetrV2ForObjectDetection`. `RTDetrV2Fields` and `ModelConfig` say what the fields mean."""

    model_type = "rt_detr_v2"
    architecture = "RTDetrV2ForObjectDetection"
    is_encoder_decoder: bool = True
    initializer_range: float = 0.01


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class UperNetConfig(ModelConfig, UperNetFields):
    """Of a `UperNetForSemanticSegmentation`. `UperNetFields` and `ModelConfig` say what the fields mean."""

    model_type = "upernet"
    architecture = "UperNetForSemanticSegmentation"


@model_config
@dataclass(kw_only=True, eq=False, repr=False)
class VitPoseConfig(ModelConfig, VitPoseFields):
    """Of a `VitPoseForPoseEstimation`. `VitPoseFields` and `ModelConfig` say what the fields mean."""

    model_type = "vitpose"
    architecture = "VitPoseForPoseEstimation"


def _decoder_of(given: Any) -> DetrConfig:
    if given is None or isinstance(given, DetrConfig):
        return DetrConfig() if given is None else given
    if not isinstance(given, Mapping):
        raise ContractError(f"decoder_config is a DetrConfig or a mapping of its fields, got {type(given).__name__}.")
    names = {item.name for item in dataclass_fields(DetrConfig)} | DetrConfig.second_names.keys()
    apart = {*BACKBONE_FIELDS, *DetrConfig.ignored, *GENERIC_FIELDS}
    found = {name: value for name, value in given.items() if name not in apart and value is not None}
    decoder = DetrConfig(**{name: value for name, value in found.items() if name in names})
    # What is no field of DETR is noted with the fields of the whole.
    decoder.others.update({name: value for name, value in found.items() if name not in names})
    return decoder


_DECODER_FIELDS = tuple(item.name for item in dataclass_fields(DecoderFields))
