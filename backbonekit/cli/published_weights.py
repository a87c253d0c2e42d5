"""Weights on the Hub that fit shipped recipes whole, as `recipe=ID` opens them: the same parts, the same classes."""

# Of a shipped recipe without an entry nobody has published weights that transformers or backbonekit saved.
PUBLISHED = {
    "deformable_detr_resnet50": "SenseTime/deformable-detr",
    "deformable_detr_two_stage_resnet50": "SenseTime/deformable-detr-with-box-refine-two-stage",
    "depth_anything_small": "depth-anything/Depth-Anything-V2-Small-hf",
    "detr_resnet50": "facebook/detr-resnet-50",
    "dfine_medium": "ustc-community/dfine-medium-obj2coco",
    "dfine_nano": "ustc-community/dfine-nano-coco",
    "dfine_small": "ustc-community/dfine-small-coco",
    "dpt_dinov2_small": "facebook/dpt-dinov2-small-nyu",
    "mask2former_swin_tiny": "facebook/mask2former-swin-tiny-coco-panoptic",
    "maskformer_resnet50": "facebook/maskformer-resnet50-ade",
    "maskformer_swin_tiny": "facebook/maskformer-swin-tiny-ade",
    "rtdetr_v2_resnet18": "PekingU/rtdetr_v2_r18vd",
    "rtdetr_v2_resnet50": "PekingU/rtdetr_v2_r50vd",
    "upernet_convnext_tiny": "openmmlab/upernet-convnext-tiny",
    "upernet_swin_tiny": "openmmlab/upernet-swin-tiny",
    "vitpose_base": "usyd-community/vitpose-base-simple",
}
