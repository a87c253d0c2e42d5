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

    Resize is one of: `size` (height, width), aspect ratio given up unless `keep_aspect_ratio`; or `shortest_edge`, with
    `longest_edge` as its bound; or `max_size` (height, width), the largest size of the image's aspect ratio that fits
    into it; or none. `keep_aspect_ratio`: the side that `size` changes least becomes as long as given, the other one
    follows, and both are rounded to the nearest multiple of `multiple_of`. `size_divisor` rounds both sides of the
    resized image up. `crop` (height, width) is cut from the centre; where it is larger than the image, the image is in
    its centre, surrounded by `border`: black, or the colour `mean`. `rounding`: half a pixel at the crop's edge, and a
    fraction of a side of `max_size`, are rounded `down` as transformers does, or to the `nearest` number as timm does.
    `mean` and `std` are per channel of the [0, 1] image; with `range` (lowest, highest) they are in the image's own
    units, and its values lie in this range. `canvas` (height, width) fixes the padded size; without it a batch is
    padded to its largest image.

    Of targets: `ignore_label` is the label of pixels that belong to no class, in segmentations, their padding, the
    losses and the results; 255, or -1 where the classes include 255. `label_map` changes the labels of the files: a
    class for each label, or "ignore"; labels that it does not name stay.
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
