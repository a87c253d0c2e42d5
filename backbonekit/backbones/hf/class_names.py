"""The table of families: model types of transformers and the names of their classes. It does not import torch.

A family is defined in the module of its model type, with `-` written as `_`: `pvt_v2` in `pvt_v2.py`, which contains
`PvtV2Architecture` and `FAMILY`. The names of its Hugging Face classes, `PvtV2Config` and `PvtV2Backbone`, follow from
its line in this table.
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
    """The module of a family, below `families`."""
    return model_type.replace("-", "_")


def config_name(model_type: str) -> str:
    """The configuration class of a model type, such as `PvtV2Config`."""
    return f"{CLASS_NAMES[model_type]}Config"


def backbone_name(model_type: str) -> str:
    """The backbone class of a model type, such as `PvtV2Backbone`; `VitPoseBackbone` keeps a single `Backbone`."""
    return f"{CLASS_NAMES[model_type].removesuffix('Backbone')}Backbone"
