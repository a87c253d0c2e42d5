"""The table of families: model types of transformers, and how their classes are called. No torch here.

A family stands in the module of its model type, `-` written `_`: `pvt_v2` in `pvt_v2.py`, with `PvtV2Architecture` and
`FAMILY`. Its classes of the Hugging Face guide, `PvtV2Config` and `PvtV2Backbone`, follow from this line.
"""

CLASS_NAMES = {
    "beit": "Beit",
    "bit": "Bit",
    "convnext": "ConvNext",
    "convnextv2": "ConvNextV2",
    "dinov2": "Dinov2",
    "dinov2_with_registers": "Dinov2WithRegisters",
    "dinov3_convnext": "DINOv3ConvNext",
    "dinov3_vit": "DINOv3ViT",
    "focalnet": "FocalNet",
    "hgnet_v2": "HGNetV2",
    "hiera": "Hiera",
    "maskformer-swin": "MaskFormerSwin",
    "pvt_v2": "PvtV2",
    "resnet": "ResNet",
    "rt_detr_resnet": "RTDetrResNet",
    "swin": "Swin",
    "swinv2": "Swinv2",
    "vitdet": "VitDet",
    "vitpose_backbone": "VitPoseBackbone",
}


def module_name(model_type: str) -> str:
    """Where a family is written, below this package."""
    return model_type.replace("-", "_")


def config_name(model_type: str) -> str:
    """`PvtV2Config`."""
    return f"{CLASS_NAMES[model_type]}Config"


def backbone_name(model_type: str) -> str:
    """`PvtV2Backbone`, and `VitPoseBackbone` where the name says it already."""
    return f"{CLASS_NAMES[model_type].removesuffix('Backbone')}Backbone"
