"""How large an image becomes, and its resampling. Sizes are (height, width) in pixels."""

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Interpolation, Processing, Rounding
from backbonekit.errors import ContractError

# 16,384 x 16,384: a strip of 1 x 100,000 pixels with shortest_edge 800 and no bound would be 64 gigapixels.
_MOST_PIXELS = 2**28
# 8,192 x 8,192, of an image that is enlarged: a strip of 4 x 2,000 pixels with shortest_edge 520 would become 135
# megapixels, and a model's maps many times that.
_MOST_ENLARGED = 2**26
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resized_size(original: tuple[int, int], processing: Processing) -> tuple[int, int]:
    """The size after the resize, at least 1 x 1.

    Rounding is that of transformers: the shorter side exactly, the longer one cut down to a whole number, computed from
    the unrounded shorter side where `longest_edge` bounds it; of `max_size` both are cut down, or rounded to the
    nearest number; then both rounded up to `size_divisor`.
    Raises ContractError when the result would not fit into memory.
    Source: transformers `image_transforms.get_size_with_aspect_ratio` and
    `image_utils.get_image_size_for_max_height_width`; timm/data/transforms.py: ResizeKeepRatio.
    """
    height, width = _before_divisor(original, processing)
    divisor = processing.size_divisor
    size = (math.ceil(max(height, 1) / divisor) * divisor, math.ceil(max(width, 1) / divisor) * divisor)
    pixels = size[0] * size[1]
    if pixels > _MOST_PIXELS or (pixels > _MOST_ENLARGED and pixels > original[0] * original[1]):
        raise ContractError(
            f"an image of {original[0]} x {original[1]} pixels would become {size[0]} x {size[1]}; "
            "set `processing.longest_edge`, which bounds the longer side."
        )
    return size


def shrinking(original: tuple[int, int], processing: Processing) -> float:
    """By how much the resize shortens a side: 4 where four pixels become one."""
    resized = resized_size(original, processing)
    return max(before / after for before, after in zip(original, resized, strict=True))


def _before_divisor(original: tuple[int, int], processing: Processing) -> tuple[int, int]:
    if processing.size is not None:
        return _by_least_change(original, processing) if processing.keep_aspect_ratio else processing.size
    if processing.max_size is not None:
        return _within(original, processing.max_size, processing.rounding)
    short, long = min(original), max(original)
    edge: float
    if processing.shortest_edge is not None:
        edge = processing.shortest_edge
        bound = processing.longest_edge
        if bound is not None and long / short * edge > bound:
            edge = bound * short / long
    elif processing.longest_edge is not None:
        edge = processing.longest_edge * short / long
    else:
        return original
    rounded = round(edge)
    if short == rounded:
        return original
    height, width = original
    if width < height:
        return int(edge * height / width), rounded
    return rounded, int(edge * width / height)


def _within(original: tuple[int, int], most: tuple[int, int], rounding: Rounding) -> tuple[int, int]:
    """Both sides by the same factor, so that neither exceeds `most`."""
    (height, width), (most_high, most_wide) = original, most
    if rounding == "down":
        scale = min(most_high / height, most_wide / width)
        return int(height * scale), int(width * scale)
    # Divided and not multiplied, as timm does it: the last bit decides where the fraction is a half.
    ratio = max(height / most_high, width / most_wide)
    return round(height / ratio), round(width / ratio)


def _by_least_change(original: tuple[int, int], processing: Processing) -> tuple[int, int]:
    """Both sides by the factor that is nearer to 1, then to the nearest multiple.

    Source: DPT (Ranftl et al., 2021), github.com/isl-org/DPT `dpt/transforms.py: Resize`, resize method "minimal".
    """
    assert processing.size is not None
    by_height, by_width = processing.size[0] / original[0], processing.size[1] / original[1]
    scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
    height, width = (max(1, round(scale * side / processing.multiple_of)) * processing.multiple_of for side in original)
    return height, width


def crop_box(
    resized: tuple[int, int], crop: tuple[int, int] | None, rounding: Rounding = "down"
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the centre crop; top and left are below 0 where the crop is larger than the image.

    Source: transformers `image_transforms.center_crop`; torchvision `transforms.functional.center_crop`, as in timm.
    """
    if crop is None:
        return (0, 0, *resized)
    top, left = (_centred(side - cut, rounding) for side, cut in zip(resized, crop, strict=True))
    return (top, left, *crop)


def _centred(leftover: int, rounding: Rounding) -> int:
    """How much of what the crop leaves over stands before it."""
    if rounding == "down":
        return leftover // 2
    return round(leftover / 2) if leftover > 0 else -(-leftover // 2)


def round_up(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    return math.ceil(size[0] / divisor) * divisor, math.ceil(size[1] / divisor) * divisor


def resize_pixels(pixels: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """[height, width, channels] to `size`, same dtype. 8-bit pixels are rounded to 8 bits, as in the training of nearly
    every published backbone; 16 bits and floats are resampled as floats."""
    if pixels.shape[:2] == size:
        return pixels
    height, width = size
    resample = _FILTERS[interpolation]
    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(image.resize((width, height), resample))
    # Pillow resamples every channel by itself, so that one at a time is the same.
    planes = [Image.fromarray(np.ascontiguousarray(pixels[..., index])) for index in range(pixels.shape[-1])]
    return np.stack([np.asarray(plane.resize((width, height), resample)) for plane in planes], axis=-1)


def resize_nearest_as_pillow(target: Tensor, size: tuple[int, int]) -> Tensor:
    """[..., height, width] to `size` by the pixel whose centre is nearest; any dtype, also with no elements."""
    height, width = target.shape[-2:]
    if (height, width) == size:
        return target
    rows, columns = _nearest(height, size[0], target.device), _nearest(width, size[1], target.device)
    return target.index_select(-2, rows).index_select(-1, columns)


def _nearest(length: int, new_length: int, device: torch.device) -> Tensor:
    # Added up one by one, as Pillow does: where a centre falls between two pixels, the rounding of these sums decides.
    steps = np.full(new_length, length / new_length)
    steps[0] /= 2
    return torch.from_numpy(np.cumsum(steps).astype(np.int64)).clamp(max=length - 1).to(device)
