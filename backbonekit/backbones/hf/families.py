"""The page of families: model types of transformers and where each is written, imported when asked for."""

from importlib import import_module

from backbonekit.backbones.hf.family import Family
from backbonekit.errors import RecipeError, nearest

_MODULES = {
    "beit": "backbonekit.backbones.hf.beit",
    "bit": "backbonekit.backbones.hf.bit",
    "convnext": "backbonekit.backbones.hf.convnext",
    "convnextv2": "backbonekit.backbones.hf.convnextv2",
    "dinov2": "backbonekit.backbones.hf.dinov2",
    "dinov2_with_registers": "backbonekit.backbones.hf.dinov2_with_registers",
    "dinov3_convnext": "backbonekit.backbones.hf.dinov3_convnext",
    "dinov3_vit": "backbonekit.backbones.hf.dinov3_vit",
    "focalnet": "backbonekit.backbones.hf.focalnet",
    "hgnet_v2": "backbonekit.backbones.hf.hgnet_v2",
    "hiera": "backbonekit.backbones.hf.hiera",
    "maskformer-swin": "backbonekit.backbones.hf.maskformer_swin",
    "pvt_v2": "backbonekit.backbones.hf.pvt_v2",
    "resnet": "backbonekit.backbones.hf.resnet",
    "rt_detr_resnet": "backbonekit.backbones.hf.rt_detr_resnet",
    "swin": "backbonekit.backbones.hf.swin",
    "swinv2": "backbonekit.backbones.hf.swinv2",
    "vitdet": "backbonekit.backbones.hf.vitdet",
    "vitpose_backbone": "backbonekit.backbones.hf.vitpose_backbone",
}


def model_types() -> tuple[str, ...]:
    """Every model type that is built here."""
    return tuple(_MODULES)


def family(model_type: str) -> Family:
    """The family of a `config.json`'s `model_type`. Raises RecipeError with the nearest one."""
    if model_type not in _MODULES:
        raise RecipeError(
            f"model_type {model_type!r} is no backbone that is built here; {nearest(str(model_type), _MODULES)}"
            f" For any other backbone of transformers: source: transformers."
        )
    return import_module(_MODULES[model_type]).FAMILY
