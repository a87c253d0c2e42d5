"""The backbone inside a whole model of transformers: its nested configuration and the prefix of its weights."""

from collections.abc import Mapping
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.weights.checkpoint import Checkpoint

_TIMM = "timm_backbone"

# Where whole models keep their backbone, longer names first. Source: the classes of transformers that hold one.
_PREFIXES = (
    "model.pixel_level_module.encoder.",  # MaskFormer, Mask2Former, OneFormer
    "model.backbone.conv_encoder.model.",  # DETR and its kin, as they are saved
    "model.backbone.model.",  # RT-DETR, D-FINE; DETR as it is named in memory
    "dpt.embeddings.backbone.",  # DPT with convolutions before its transformer
    "backbone.",  # UperNet, DPT, Depth Anything, ViTPose, ViTMatte
)


def backbone_config_of(config: Mapping[str, Any], backbones: tuple[str, ...], shown: str) -> Mapping[str, Any]:
    """The `backbone_config` of a whole model's `config.json`; any other `config.json` is returned unchanged.

    `backbones`: model types that are backbones. `shown`: what it was read from, for messages. Raises RecipeError where
    the nested backbone is timm's.
    """
    if config.get("model_type") in backbones:
        return config
    within = config.get("backbone_config")
    name = config.get("backbone")
    if isinstance(within, Mapping) and within.get("model_type") != _TIMM:
        # MaskFormer uses its own Swin, with the same fields, even where its configuration names `swin`.
        is_its_swin = config.get("model_type") == "maskformer" and within.get("model_type") == "swin"
        return {**within, "model_type": "maskformer-swin"} if is_its_swin else within
    if isinstance(within, Mapping):
        name = within.get("backbone")
    elif not (isinstance(name, str) and config.get("use_timm_backbone") is True):
        return config
    raise RecipeError(
        f"The backbone within {shown} ({config.get('model_type')}) is one of timm: open the model with load_model, or"
        f" take the backbone alone with source: timm and name: {str(name)[:60]}."
    )


def backbone_alone(checkpoint: Checkpoint) -> Checkpoint:
    """The tensors of a whole model's backbone, named as the backbone alone names them.

    A checkpoint without such a prefix is one of a backbone and is returned unchanged.
    """
    for prefix in _PREFIXES:
        if any(key.startswith(prefix) for key in checkpoint):
            return checkpoint.under(prefix)
    return checkpoint
