"""Small whole models of every class, on backbones of several kinds, as builders that take the transformers package.

In 4.x a configuration that is given `backbone_config` must say that no backbone of timm is meant; 5.x reads that too.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

THREE, FOUR = [2, 3, 4], [1, 2, 3, 4]
NAMES = {0: "sky", 1: "person", 2: "road"}
RESNET = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
SWIN = {"embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4, "image_size": 64}
DINOV2 = {"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
HGNET = {
    "embedding_size": 8, "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 24],
    "stage_mid_channels": [4, 4, 8, 8], "stage_out_channels": [8, 16, 24, 32], "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1], "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32],
}  # fmt: skip
TRANSFORMER = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "dropout": 0.0,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 48, "num_queries": 7, "id2label": NAMES,
}  # fmt: skip
REAL_TIME = {
    **TRANSFORMER, "encoder_hidden_dim": 32, "decoder_in_channels": [32] * 3, "encoder_in_channels": [16, 24, 32],
    "encoder_layers": 1, "num_queries": 9, "num_denoising": 5,
}  # fmt: skip
MASKED = {
    "feature_size": 32, "mask_feature_size": 24, "hidden_dim": 32, "encoder_feedforward_dim": 40, "encoder_layers": 2,
    "decoder_layers": 4, "num_attention_heads": 4, "dim_feedforward": 48, "num_queries": 7, "id2label": NAMES,
}  # fmt: skip
DEPTH = {"neck_hidden_sizes": [6, 8, 10, 12], "reassemble_factors": [4, 2, 1, 0.5], "fusion_hidden_size": 16}
NO_TIMM = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
BY_NAME = {"use_timm_backbone": True, "use_pretrained_backbone": False, "backbone": "resnet18"}

Build = Callable[[Any], nn.Module]


def nested(name: str, indices: list[int] | None) -> Callable[[Any], dict[str, Any]]:
    """The backbone as fields of a whole model's configuration."""

    def fields(own: Any) -> dict[str, Any]:
        out = {} if indices is None else {"out_indices": indices}
        if name == "timm by name":
            # 4.x hands DETR's maps out by itself; the others take them from here.
            return {**BY_NAME, **({"backbone_kwargs": out} if out else {})}
        if name == "timm by configuration":
            config = own.TimmBackboneConfig(backbone="resnet18", use_pretrained_backbone=False, **out)
        else:
            classes = {
                "resnet": ("ResNetConfig", RESNET),
                "vd": ("RTDetrResNetConfig", {**RESNET, "embedding_size": 8}),
                "swin": ("SwinConfig", SWIN),
                "convnext": ("ConvNextConfig", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}),
                "dinov2": ("Dinov2Config", DINOV2),
                "hgnet": ("HGNetV2Config", HGNET),
            }
            class_name, options = classes[name]
            config = getattr(own, class_name)(**options, **out)
        return {**NO_TIMM, "backbone_config": config}

    return fields


def whole(class_name: str, on: str, indices: list[int] | None, /, **options: Any) -> Build:
    """`class_name`: `DetrForObjectDetection`, whose configuration is `DetrConfig`."""
    config_name = f"{class_name.rsplit('For', 1)[0]}Config"

    def build(own: Any) -> nn.Module:
        fields = {**nested(on, indices)(own), **options}
        return getattr(own, class_name)(getattr(own, config_name)(**fields))

    return build


def maskformer(backbone: str) -> Build:
    def build(own: Any) -> nn.Module:
        decoder = own.DetrConfig(
            d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=40, num_queries=7
        )
        sizes = {"fpn_feature_size": 32, "mask_feature_size": 24, "id2label": NAMES}
        config = own.MaskFormerConfig(**nested(backbone, FOUR)(own), decoder_config=decoder, **sizes)
        return own.MaskFormerForInstanceSegmentation(config)

    return build


def depth(class_name: str, **options: Any) -> Build:
    """On DINOv2, whose tokens these models take as they are."""

    def build(own: Any) -> nn.Module:
        backbone = own.Dinov2Config(**DINOV2, out_indices=[1, 2, 3, 5], reshape_hidden_states=False)
        config_class = getattr(own, f"{class_name.rsplit('For', 1)[0]}Config")
        unknown = [name for name in options if not hasattr(config_class(), name)]
        if unknown:
            raise NotImplementedError(f"its configuration has no {unknown[0]}")
        return getattr(own, class_name)(config_class(backbone_config=backbone, **DEPTH, **options))

    return build


def dpt_on_its_own(own: Any) -> nn.Module:
    """As the first DPT was published: the vision transformer is inside the model."""
    config = own.DPTConfig(
        hidden_size=24, num_hidden_layers=5, num_attention_heads=2, intermediate_size=48, image_size=64, patch_size=16,
        backbone_out_indices=[1, 2, 3, 4], **DEPTH,
    )  # fmt: skip
    return own.DPTForDepthEstimation(config)


def vitpose(own: Any) -> nn.Module:
    backbone = own.VitPoseBackboneConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=[64, 48], out_indices=[2]
    )
    return own.VitPoseForPoseEstimation(own.VitPoseConfig(backbone_config=backbone, num_labels=3))


DETR, DEFORMABLE, UPERNET = (
    "DetrForObjectDetection",
    "DeformableDetrForObjectDetection",
    "UperNetForSemanticSegmentation",
)
MASK2FORMER = "Mask2FormerForUniversalSegmentation"
TWO_STAGE = {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 9}
DFINE = {**REAL_TIME, "lqe_hidden_dim": 8, "max_num_bins": 8, "depth_mult": 0.34, "hidden_expansion": 0.5}
# The class, what it stands on: how it is built.
MODELS: dict[tuple[str, str], Build] = {
    (DETR, "timm by name"): whole(DETR, "timm by name", None, **TRANSFORMER),
    (DETR, "timm by name, dilated"): whole(
        DETR, "timm by name", None, **{**TRANSFORMER, "dilation": True, "backbone": "resnet50"}
    ),
    (DETR, "timm by configuration"): whole(DETR, "timm by configuration", FOUR, **TRANSFORMER),
    **{(DETR, name): whole(DETR, name, FOUR, **TRANSFORMER) for name in ("resnet", "swin", "convnext")},
    (DEFORMABLE, "timm by name"): whole(DEFORMABLE, "timm by name", None, **TRANSFORMER),
    (DEFORMABLE, "timm by configuration"): whole(DEFORMABLE, "timm by configuration", THREE, **TRANSFORMER),
    (DEFORMABLE, "resnet"): whole(DEFORMABLE, "resnet", THREE, **TRANSFORMER, with_box_refine=True),
    (DEFORMABLE, "resnet, two stages"): whole(DEFORMABLE, "resnet", THREE, **TRANSFORMER, **TWO_STAGE),
    (DEFORMABLE, "swin"): whole(DEFORMABLE, "swin", THREE, **TRANSFORMER),
    **{
        (f"{name}ForObjectDetection", backbone): whole(f"{name}ForObjectDetection", backbone, THREE, **REAL_TIME)
        for name in ("RTDetr", "RTDetrV2")
        for backbone in ("vd", "resnet", "swin")
    },
    **{
        (f"{name}ForObjectDetection", backbone): whole(
            f"{name}ForObjectDetection", backbone, THREE, **{**REAL_TIME, "encoder_in_channels": [128, 256, 512]}
        )
        for name in ("RTDetr", "RTDetrV2")
        for backbone in ("timm by name", "timm by configuration")
    },
    **{
        ("DFineForObjectDetection", name): whole("DFineForObjectDetection", name, THREE, **DFINE)
        for name in ("hgnet", "vd", "resnet")
    },
    ("DPTForDepthEstimation", "dinov2"): depth("DPTForDepthEstimation"),
    ("DPTForDepthEstimation", "its own transformer"): dpt_on_its_own,
    ("DepthAnythingForDepthEstimation", "dinov2"): depth(
        "DepthAnythingForDepthEstimation", head_hidden_size=6, reassemble_hidden_size=24
    ),
    ("DepthAnythingForDepthEstimation", "dinov2, metric"): depth(
        "DepthAnythingForDepthEstimation", head_hidden_size=6, reassemble_hidden_size=24,
        depth_estimation_type="metric", max_depth=20,
    ),
    **{
        ("MaskFormerForInstanceSegmentation", name): maskformer(name)
        for name in ("swin", "resnet", "convnext", "dinov2", "timm by name", "timm by configuration")
    },
    **{
        (MASK2FORMER, name): whole(MASK2FORMER, name, FOUR, **MASKED)
        for name in ("swin", "resnet", "convnext", "dinov2", "timm by name", "timm by configuration")
    },
    **{
        (UPERNET, name): whole(
            UPERNET, name, FOUR, hidden_size=16, auxiliary_channels=8, id2label=NAMES,
            auxiliary_in_channels={"swin": 48, "resnet": 24, "convnext": 24, "dinov2": 24}.get(name, 256),
        )
        for name in ("swin", "resnet", "convnext", "dinov2", "timm by name", "timm by configuration")
    },
    ("VitPoseForPoseEstimation", "vitpose_backbone"): vitpose,
}  # fmt: skip
OUTPUTS = ("logits", "pred_boxes", "class_queries_logits", "masks_queries_logits", "predicted_depth", "heatmaps")


def sizes_of(class_name: str, backbone: str) -> list[tuple[int, int]]:
    """(height, width) of the images: odd ones where the class takes them, and the weights' own."""
    if class_name.startswith(("RTDetr", "DFine")):
        return [(96, 128), (128, 128)]  # their hybrid encoders fail on sides that 32 does not divide
    if class_name.startswith("VitPose"):
        return [(64, 48)]
    if backbone == "its own transformer":
        return [(64, 64)]
    return [(131, 87), (56, 56)] if backbone.startswith("dinov2") else [(131, 87)]
