"""Small settings of every backbone family, on which transformers' mixins run; the published files of single models are
not in the source archive."""

from typing import Any

from tests.old_checkpoints.backbone_cases import CONFIGS, NATIVE
from tests.parity import convolutional_configs

# Family: a configuration that old_checkpoints knows.
NAMES = {
    "beit": "beit",
    "bit": "bit",
    "convnext": "convnext",
    "convnextv2": "convnextv2",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2-with-registers",
    "dinov3_convnext": "dinov3-convnext",
    "dinov3_vit": "dinov3-vit",
    "focalnet": "focalnet",
    "hiera": "hiera",
    "maskformer-swin": "maskformer-swin",
    "pvt_v2": "pvt-v2",
    "resnet": "resnet",
    "rt_detr_resnet": "rt-detr-resnet",
    "swin": "swin",
    "swinv2": "swinv2",
    "vitdet": "vitdet",
    "vitpose_backbone": "vitpose",
}
# These have no attention, so the mixins must not look for it.
CONVOLUTIONAL = (
    *("bit", "convnext", "convnextv2", "dinov3_convnext", "focalnet", "hgnet_v2", "resnet", "rt_detr_resnet"),
    "timm_backbone",
)
TIMM = {"backbone": "resnet18", "use_pretrained_backbone": False}


def settings(family: str) -> tuple[str, str, dict[str, Any], tuple[int, int]]:
    """Names of the configuration and of the backbone, fields, and a size of images."""
    if family == "timm_backbone":
        return "TimmBackboneConfig", "TimmBackbone", {**TIMM, "out_indices": [1, 2, 3]}, (64, 64)
    if family == "hgnet_v2":
        return "HGNetV2Config", "HGNetV2Backbone", {**HGNET, "out_indices": [3, 4]}, (64, 96)
    name = NAMES[family]
    config, fields = CONFIGS[name]
    last = next(len(fields[key]) if isinstance(fields[key], list) else fields[key] for key in _COUNTS if key in fields)
    last -= family == "pvt_v2"  # without a stem, maps are counted from 0
    backbone = f"{config.removesuffix('Config').removesuffix('Backbone')}Backbone"
    return config, backbone, {**fields, "out_indices": [last - 1, last]}, NATIVE.get(name, (64, 96))


_COUNTS = ("depths", "num_hidden_layers", "stage_num_blocks")
FAMILIES = (*NAMES, "hgnet_v2", "timm_backbone")
# transformers reads the widths of HGNetV2's maps from hidden_sizes and builds by stage_out_channels: both, and alike.
HGNET = {
    **convolutional_configs.CONFIGS["hgnet-v2"][1],
    "embedding_size": 12,
    "hidden_sizes": [16, 24, 32, 48],
    "depths": [1, 1, 1, 1],
}
