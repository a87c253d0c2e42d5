"""Small models under transformers' names."""

import backbonekit as bk

RESNET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
DETR = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 5,
}  # fmt: skip
MASKS = {
    "fpn_feature_size": 32,
    "mask_feature_size": 32,
    "decoder_config": {
        "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "num_queries": 5,
    },
}  # fmt: skip
DEPTH = {
    "neck_hidden_sizes": [6, 8, 10, 12],
    "fusion_hidden_size": 16,
    "head_hidden_size": 6,
    "reassemble_hidden_size": 24,
}
VIT = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56}


def backbone(**changes) -> bk.ResNetBackbone:
    return bk.ResNetBackbone(bk.ResNetConfig(**{**RESNET, **changes}))


def dinov2(**changes) -> bk.Dinov2Backbone:
    return bk.Dinov2Backbone(bk.Dinov2Config(**{**VIT, **changes}))


def model(**changes) -> bk.DetrForObjectDetection:
    fields = {"backbone_config": bk.ResNetConfig(**RESNET), **DETR, "num_labels": 3, **changes}
    return bk.DetrForObjectDetection(bk.DetrConfig(**fields))


def masks(**changes) -> bk.MaskFormerForInstanceSegmentation:
    fields = {"backbone_config": bk.ResNetConfig(**RESNET), **MASKS, "num_labels": 3, **changes}
    return bk.MaskFormerForInstanceSegmentation(bk.MaskFormerConfig(**fields))


def dense(**changes) -> bk.UperNetForSemanticSegmentation:
    backbone_config = bk.ResNetConfig(**RESNET, out_indices=[1, 2, 3, 4])
    fields = {"backbone_config": backbone_config, "hidden_size": 16, "num_labels": 3, **changes}
    return bk.UperNetForSemanticSegmentation(bk.UperNetConfig(**{"use_auxiliary_head": False, **fields}))


def depth(**changes) -> bk.DepthAnythingForDepthEstimation:
    backbone_config = bk.Dinov2Config(**VIT, out_indices=(1, 2, 3, 4))
    return bk.DepthAnythingForDepthEstimation(
        bk.DepthAnythingConfig(**{"backbone_config": backbone_config, **DEPTH, **changes})
    )


def pose(**changes) -> bk.VitPoseForPoseEstimation:
    backbone_config = bk.VitPoseBackboneConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=(64, 48), out_indices=(2,)
    )
    return bk.VitPoseForPoseEstimation(
        bk.VitPoseConfig(**{"backbone_config": backbone_config, "num_labels": 3, **changes})
    )
