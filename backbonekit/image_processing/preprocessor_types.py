"""The image processors of transformers whose files are read: what each does where its file is silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backbonekit.contract.processing import IMAGENET_MEAN, IMAGENET_STD

_HALF = (0.5, 0.5, 0.5)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
NEAREST, LANCZOS, BILINEAR, BICUBIC = 0, 1, 2, 3  # Pillow's numbers

# What `crop_pct` and the size mean, where they do not mean themselves.
Sizing = Literal["plain", "convnext", "poolformer", "levit"]


@dataclass(frozen=True, slots=True)
class PreprocessorType:
    """Defaults of one image processor.

    `size`: as its file would have it. `one_side`: what a single number for the size is, the side of a square or the
    shortest edge. `crop`: the side of the centre crop, where the file sets none. `divides`: what
    `size_divisor` does, rounding the resized sides up, or (`centred`) padding all around, and only if `do_pad` says so.
    `reverses_channels`: it gives blue, green, red unless told otherwise. `pads`: it pads images to the largest of a
    batch by default, and a mask is returned with them.
    """

    size: Mapping[str, int] | None
    one_side: Literal["square", "shortest_edge"]
    resample: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: int | None = None
    size_divisor: int = 1
    divides: Literal["rounded", "centred"] = "rounded"
    reverses_channels: bool = False
    sizing: Sizing = "plain"
    does_normalize: bool = True
    pads: bool = False


def _square(side: int, resample: int, **options: Any) -> PreprocessorType:
    return PreprocessorType({"height": side, "width": side}, "square", resample, **options)


def _shortest(side: int, resample: int, **options: Any) -> PreprocessorType:
    return PreprocessorType({"shortest_edge": side}, "shortest_edge", resample, **options)


def _detection(**options: Any) -> PreprocessorType:
    size = {"shortest_edge": 800, "longest_edge": 1333}
    return PreprocessorType(size, "shortest_edge", BILINEAR, pads=True, **options)


_HALVES: dict[str, Any] = {"mean": _HALF, "std": _HALF}
_CLIP: dict[str, Any] = {"mean": _CLIP_MEAN, "std": _CLIP_STD, "crop": 224}

# By `image_processor_type` without its ending. Source: the class attributes in transformers' image_processing files.
PREPROCESSOR_TYPES: Mapping[str, PreprocessorType] = {
    "Beit": _square(224, BICUBIC, **_HALVES),
    "Bit": _shortest(224, BICUBIC, **_CLIP),
    "CLIP": _shortest(224, BICUBIC, **_CLIP),
    "ConditionalDetr": _detection(),
    "ConvNext": _shortest(384, BICUBIC, sizing="convnext", **_HALVES),
    "DINOv3ViT": _square(224, BILINEAR),
    "DPT": _square(384, BICUBIC, divides="centred", **_HALVES),
    "DeformableDetr": _detection(),
    "DeiT": _square(256, BICUBIC, crop=224, **_HALVES),
    "Detr": _detection(),
    "EfficientNet": _square(346, BICUBIC, **_HALVES),
    "GroundingDino": _detection(),
    "Levit": _shortest(224, BICUBIC, crop=224, sizing="levit"),
    "Mask2Former": _detection(size_divisor=32),
    "MaskFormer": _detection(size_divisor=32),
    "MobileNetV1": _shortest(256, BILINEAR, crop=224, **_HALVES),
    "MobileNetV2": _shortest(256, BILINEAR, crop=224, **_HALVES),
    "MobileViT": _shortest(224, BICUBIC, crop=256, does_normalize=False, reverses_channels=True, **_HALVES),
    "OneFormer": _detection(),
    "PoolFormer": _shortest(224, BICUBIC, crop=224, sizing="poolformer"),
    "PromptDepthAnything": _square(384, BICUBIC, divides="centred", **_HALVES),
    "Pvt": _square(224, BICUBIC),
    "RTDetr": _square(640, BILINEAR, does_normalize=False),
    "Segformer": _square(512, BILINEAR),
    "Siglip": _square(224, BICUBIC, **_HALVES),
    "TextNet": _shortest(640, BILINEAR, size_divisor=32),
    "ViT": _square(224, BILINEAR, **_HALVES),
    # Without persons' boxes, which belong to an image and not to its preparation, it takes crops of this size.
    "VitPose": PreprocessorType({"height": 256, "width": 192}, "square", BILINEAR),
}

# Known, and refused: what they do beyond resizing, cropping, padding and normalising.
REFUSED_TYPES: Mapping[str, str] = {
    "RfDetr": "shrinks images without smoothing them (antialias=False)",
    "VitMatte": "appends a trimap to each image as its fourth channel",
    "ZoeDepth": "surrounds each image with a reflection of its border and resamples it corner to corner",
}

# For a file that names no type, as the oldest and our own for what no type of transformers can do.
UNTYPED = PreprocessorType(None, "square", BILINEAR)
