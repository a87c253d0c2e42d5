"""How an image becomes an input, as plain data. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from backbonekit.contract.options import IgnoreLabel, Range

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Border = Literal["black", "mean"]
Rounding = Literal["down", "nearest"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_Edge = Annotated[int, Range(1, 16_384)]  # pixels; the largest images in use are 8K, 7,680 wide
_Multiple = Annotated[int, Range(1, 1_024)]  # pixels
# In the image's own units, which are any: reflectance, decibels, Hounsfield units, counts of 32 bits.
_Value = Annotated[float, Range(-1e12, 1e12)]
_Std = Annotated[float, Range(1e-6, 1e12)]
_Label = Annotated[int, Range(0, 100_000)]
LabelMap = Mapping[str, _Label | Literal["ignore"]]


@dataclass(frozen=True, slots=True)
class Processing:
    """Resize, centre crop, scale to [0, 1], normalise, pad; in this order.

    The resize is one of `size`, `shortest_edge`, `max_size`, or none.

    `size`: (height, width) after the resize; the aspect ratio is given up unless `keep_aspect_ratio`.
    `shortest_edge`: length of the shorter side after the resize, in pixels; the other side follows.
    `longest_edge`: with `shortest_edge`, the bound of the longer side; alone, its length.
    `max_size`: (height, width) that the largest size of the image's aspect ratio fits into.
    `size_divisor`: rounds both sides of the resized image up to a multiple of it.
    `keep_aspect_ratio`: the side that `size` changes least becomes as long as given, and the other one follows.
    `multiple_of`: both sides are then rounded to the nearest multiple of it.
    `crop`: (height, width) that is cut from the centre; where it is larger than the image, the image is in its centre.
    `border`: the colour around an image that is smaller than `crop`, black or the `mean`.
    `rounding`: of half a pixel at the crop's edge, and of a fraction of a side of `max_size`; `down` as in
    transformers, `nearest` as in timm.
    `interpolation`: of the resize.
    `range`: (lowest, highest) value of the images, whose units are then those of `mean` and `std`; without it images
    are scaled to [0, 1].
    `mean`: subtracted from each channel; one number is for all.
    `std`: each channel is divided by it; one number is for all.
    `canvas`: (height, width) that every image is padded to; without it a batch is padded to its largest image.
    `ignore_label`: of targets, the label of pixels that belong to no class, in segmentations, their padding, the
    losses and the results; 255, or -1 where the classes include 255.
    `label_map`: of targets, the class for each label of the files, or "ignore"; labels that it does not name stay.
    """

    size: tuple[_Edge, _Edge] | None = None
    shortest_edge: _Edge | None = None
    longest_edge: _Edge | None = None
    max_size: tuple[_Edge, _Edge] | None = None
    size_divisor: _Multiple = 1
    keep_aspect_ratio: bool = False
    multiple_of: _Multiple = 1
    crop: tuple[_Edge, _Edge] | None = None
    border: Border = "black"
    rounding: Rounding = "down"
    interpolation: Interpolation = "bilinear"
    range: tuple[_Value, _Value] | None = None
    mean: tuple[_Value, ...] = IMAGENET_MEAN
    std: tuple[_Std, ...] = IMAGENET_STD
    canvas: tuple[_Edge, _Edge] | None = None
    ignore_label: IgnoreLabel | None = None
    label_map: LabelMap | None = None


OF_TARGETS = ("ignore_label", "label_map")
"""The fields of `Processing` that are of targets, which each of several tasks may have of its own."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where one image went: what post-processing needs to bring a prediction back to the image's own pixels.

    `original`: (height, width) of the image as given. `resized`: after the resize. `crop_offset`: (top, left) of the
    centre crop within the resized image, below 0 where the crop is larger than it. `shown`: (height, width) of real
    pixels on the canvas, which start at its top left corner; a border around a small image counts as real. `canvas`:
    (height, width) of the padded input.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    crop_offset: tuple[int, int]
    shown: tuple[int, int]
    canvas: tuple[int, int]
