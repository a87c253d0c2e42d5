"""Small composed models, one or more for each head that transformers has too."""

from typing import Any

RESNET = {"model_type": "resnet", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
SWIN = {
    "model_type": "swin", "embed_dim": 12, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 3, 4], "window_size": 4,
    "image_size": 64,
}  # fmt: skip
DINOV2 = {
    "model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56,
}  # fmt: skip
HGNET = {
    "model_type": "hgnet_v2", "embedding_size": 8, "stem_channels": [3, 8, 8], "stage_in_channels": [8, 8, 16, 24],
    "stage_mid_channels": [4, 4, 8, 8], "stage_out_channels": [8, 16, 24, 32], "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1], "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32],
}  # fmt: skip
BEIT = {"model_type": "beit", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 64}
VITPOSE = {
    "model_type": "vitpose_backbone", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": [64, 48],
}  # fmt: skip
CONVNEXT = {"model_type": "convnext", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
PVT = {
    "model_type": "pvt_v2", "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_norm_eps": 1e-5,
    "num_attention_heads": [1, 2, 3, 4], "mlp_ratios": [4, 4, 4, 4],
}  # fmt: skip
LABELS = ["sky", "person", "road"]
SIZES = {"num_layers": 1, "num_heads": 2, "feedforward_channels": 40}


def hf(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"source": "hf", "config": config, **more}


def timm(name: str, **more: Any) -> dict[str, Any]:
    return {"source": "timm", "name": name, **more}


def model(backbone: dict[str, Any], neck: Any, head: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"backbone": backbone, "neck": neck, "head": head, **more}


def _detr(backbone: dict[str, Any], **head: Any) -> dict[str, Any]:
    neck = {"name": "transformer_encoder", "channels": 32, **SIZES}
    return model(backbone, neck, {"name": "detr", "num_queries": 7, **SIZES, **head}, labels=LABELS)


def _deformable(backbone: dict[str, Any], **head: Any) -> dict[str, Any]:
    necks = [
        {"name": "channel_mapper", "channels": 32, "num_extra_levels": 1},
        {"name": "deformable_encoder", **SIZES, "num_points": 2},
    ]
    return model(
        backbone, necks, {"name": "deformable_detr", "num_queries": 7, **SIZES, "num_layers": 2, **head}, labels=LABELS
    )


def _real_time(backbone: dict[str, Any], head: dict[str, Any], levels: int = 3, **neck: Any) -> dict[str, Any]:
    small = {"channels": 32, **SIZES}
    head = {**small, "num_queries": 9, "num_classes": 4, "num_layers": 2, **head}
    return model(backbone, {"name": "hybrid_encoder", "num_levels": levels, **small, **neck}, head)


def _maskformer(backbone: dict[str, Any], **neck: Any) -> dict[str, Any]:
    neck = {"name": "fpn_pixel_decoder", "channels": 32, "mask_channels": 24, **neck}
    return model(backbone, neck, {"name": "maskformer", "channels": 32, "num_queries": 7, **SIZES}, labels=LABELS)


def _mask2former(backbone: dict[str, Any], **neck: Any) -> dict[str, Any]:
    neck = {"name": "deformable_pixel_decoder", "channels": 32, "mask_channels": 24, **SIZES, **neck}
    head = {"name": "mask2former", "channels": 32, "num_queries": 7, **SIZES}
    return model(backbone, neck, head, labels=LABELS)


def upernet(backbone: dict[str, Any], **head: Any) -> dict[str, Any]:
    return model(backbone, None, {"name": "upernet", "channels": 16, "auxiliary_channels": 8, "num_classes": 5, **head})


def _depth(backbone: dict[str, Any], head: dict[str, Any], **neck: Any) -> dict[str, Any]:
    neck = {"name": "dpt_reassemble", "channels": 16, "level_channels": [6, 8, 10, 12], **neck}
    return model(backbone, neck, head)


D_FINE = {
    "name": "d_fine", "num_bins": 8, "quality_channels": 8, "num_points": [2, 3, 2],
}  # fmt: skip


def classifier(config: dict[str, Any], args: dict[str, Any] | None = None, **head: Any) -> dict[str, Any]:
    return model(hf(config, args=args or {}), None, {"name": "classification", "num_classes": 4, **head})


TOKENS = {"pool": "class_token_and_average"}
MODELS: dict[str, dict[str, Any]] = {
    "detr": _detr(hf(RESNET)),
    "detr on timm": _detr(timm("resnet18.a1_in1k"), auxiliary=False),
    "detr on vit": _detr(hf(DINOV2), norm_between=True, num_layers=2),
    "deformable_detr": _deformable(hf(RESNET), box_refinement=True),
    "deformable_detr two stages": _deformable(hf(RESNET), box_refinement=True, two_stage=True, num_layers=1),
    "deformable_detr on timm": _deformable(timm("convnext_atto")),
    "rt_detr": _real_time(hf(RESNET), {"name": "rt_detr", "num_points": [2, 2, 2]}),
    "rt_detr frozen": {
        **_real_time(hf(RESNET), {"name": "rt_detr", "sampling": "nearest"}),
        "training": {"freeze": {"stages": 0, "norms": True}},
    },
    "d_fine": _real_time(hf(HGNET), D_FINE, fusion="elan", expansion=0.5, num_blocks=1),
    "d_fine two levels": _real_time(
        hf(HGNET), {**D_FINE, "num_points": [2, 2]}, levels=2, fusion="elan", expansion=0.5, num_blocks=2
    ),
    "maskformer": _maskformer(hf(SWIN)),
    "maskformer on resnet": _maskformer(hf(RESNET)),
    "maskformer on timm": _maskformer(timm("resnet18.a1_in1k")),
    "mask2former": _mask2former(hf(SWIN)),
    "mask2former fine": _mask2former(hf(RESNET), mask_stride=8),
    "upernet": upernet(hf(RESNET)),
    "upernet on swin": upernet(hf(SWIN), scales=[1, 2]),
    "upernet on timm": upernet(timm("convnext_atto"), auxiliary=False),
    "segformer": model(hf(PVT), None, {"name": "segformer", "channels": 16, "num_classes": 5}),
    "dpt": _depth(hf(DINOV2, args={"norm": "none"}), {"name": "dpt"}, readout="project"),
    "dpt batch norm": _depth(hf(DINOV2), {"name": "dpt", "norm": "batch"}, factors=[4, 2, 1, 0.5]),
    "dpt on beit": _depth(hf(BEIT), {"name": "dpt"}),
    "depth_anything": _depth(hf(DINOV2), {"name": "depth_anything", "hidden_channels": 6}),
    "depth_anything metric": _depth(
        hf(DINOV2), {"name": "depth_anything", "hidden_channels": 6, "metric": True, "max_depth": 20.0}
    ),
    "classification": classifier(RESNET),
    "classification on pvt": classifier(PVT),
    "classification on hgnet": classifier(HGNET),
    "classification on dinov2": classifier(DINOV2, **TOKENS),
    "classification on registers": classifier(
        {**DINOV2, "model_type": "dinov2_with_registers", "num_register_tokens": 2}, **TOKENS
    ),
    "classification on convnext": classifier(CONVNEXT, {"norm": "none"}, norm="layer"),
    "classification on convnext v2": classifier(
        {**CONVNEXT, "model_type": "convnextv2"}, {"norm": "none"}, norm="layer"
    ),
    "classification on timm": model(
        timm("resnet18.a1_in1k"), None, {"name": "classification", "num_classes": 3}, labels=LABELS
    ),
    "classification on timm's convnext": model(
        timm("convnext_atto", in_channels=4), None, {"name": "classification", "num_classes": 4, "norm": "layer"}
    ),
    "vitpose": model(hf(VITPOSE), None, {"name": "vitpose", "num_classes": 3}),
    "vitpose classic": model(hf(VITPOSE), None, {"name": "vitpose", "num_classes": 3, "decoder": "classic"}),
}
