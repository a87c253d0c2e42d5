"""(g) Forward of whole models, one image: transformers saves each from random weights, `load_model` reads it."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.measure import Row, compare, keep_freed_memory


@dataclass(frozen=True)
class Whole:
    """`build`: makes transformers' model from its module. `size`: (height, width) of the image."""

    build: Callable[[Any], Any]
    size: tuple[int, int]


def _mask2former(library: Any) -> Any:
    backbone = library.ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    return library.Mask2FormerForUniversalSegmentation(library.Mask2FormerConfig(backbone_config=backbone))


def _detr(library: Any) -> Any:
    backbone = library.ResNetConfig(out_features=["stage4"])
    return library.DetrForObjectDetection(library.DetrConfig(backbone_config=backbone))


def _deformable_detr(library: Any) -> Any:
    backbone = library.ResNetConfig(out_features=["stage2", "stage3", "stage4"])
    return library.DeformableDetrForObjectDetection(library.DeformableDetrConfig(backbone_config=backbone))


def _upernet(library: Any) -> Any:
    sizes = {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]}
    backbone = library.ConvNextConfig(out_features=["stage1", "stage2", "stage3", "stage4"], **sizes)
    return library.UperNetForSemanticSegmentation(library.UperNetConfig(backbone_config=backbone, num_labels=150))


def _dinov2_small(library: Any) -> Any:
    return library.Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        image_size=518,
        patch_size=14,
        out_indices=[3, 6, 9, 12],
        apply_layernorm=True,
        reshape_hidden_states=False,
    )


def _dpt(library: Any) -> Any:
    sizes = [48, 96, 192, 384]
    config = library.DPTConfig(backbone_config=_dinov2_small(library), neck_hidden_sizes=sizes)
    return library.DPTForDepthEstimation(config)


def _depth_anything(library: Any) -> Any:
    config = library.DepthAnythingConfig(
        backbone_config=_dinov2_small(library),
        reassemble_hidden_size=384,
        neck_hidden_sizes=[48, 96, 192, 384],
        fusion_hidden_size=64,
    )
    return library.DepthAnythingForDepthEstimation(config)


def _vitpose(library: Any) -> Any:
    backbone = library.VitPoseBackboneConfig(out_features=["stage12"])
    return library.VitPoseForPoseEstimation(library.VitPoseConfig(backbone_config=backbone, num_labels=17))


WHOLE = {
    "Mask2Former, ResNet-50": Whole(_mask2former, (384, 384)),
    "DETR, ResNet-50": Whole(_detr, (384, 384)),
    "Deformable DETR, ResNet-50": Whole(_deformable_detr, (384, 384)),
    "RT-DETR v2, ResNet-50": Whole(
        lambda library: library.RTDetrV2ForObjectDetection(library.RTDetrV2Config()), (384, 384)
    ),
    "D-FINE large": Whole(lambda library: library.DFineForObjectDetection(library.DFineConfig()), (384, 384)),
    "UPerNet, ConvNeXt tiny": Whole(_upernet, (384, 384)),
    "DPT, DINOv2 small": Whole(_dpt, (378, 378)),
    "Depth Anything small": Whole(_depth_anything, (378, 378)),
    "ViTPose base": Whole(_vitpose, (256, 192)),
}


def run(repeats: int = 9) -> list[Row]:
    import transformers

    import backbonekit as bk

    transformers.utils.logging.disable_progress_bar()
    keep_freed_memory()
    rows = []
    for name, whole in WHOLE.items():
        theirs = whole.build(transformers).eval()
        with tempfile.TemporaryDirectory() as folder:
            theirs.save_pretrained(folder)
            ours = bk.load_model(folder).eval()
        pixels = torch.randn(1, 3, *whole.size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            calls = partial(ours, pixels), partial(theirs, pixels)
            title = f"(g) forward, {name}, {whole.size[0]} x {whole.size[1]}"
            rows.append(compare(title, *calls, repeats=repeats, aim=1.0))
    return rows
