"""Resampling of images with Pillow's antialiasing filters, and of truth by its nearest pixel."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Interpolation

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize_pixels(pixels: np.ndarray, size: tuple[int, int], interpolation: Interpolation) -> np.ndarray:
    """[height, width, channels] to `size`, same dtype. 8 bits stay 8 bits, rounded, as in the training of nearly every
    published backbone; 16 bits and floats are resampled as floats."""
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


def resize_nearest_as_pillow(truth: Tensor, size: tuple[int, int]) -> Tensor:
    """[..., height, width] to `size` by the pixel whose centre is nearest; any dtype, also with no elements."""
    height, width = truth.shape[-2:]
    if (height, width) == size:
        return truth
    rows, columns = _nearest(height, size[0], truth.device), _nearest(width, size[1], truth.device)
    return truth.index_select(-2, rows).index_select(-1, columns)


def _nearest(length: int, new_length: int, device: torch.device) -> Tensor:
    # Added up one by one, as Pillow does: where a centre falls between two pixels, the rounding of these sums decides.
    steps = np.full(new_length, length / new_length)
    steps[0] /= 2
    return torch.from_numpy(np.cumsum(steps).astype(np.int64)).clamp(max=length - 1).to(device)
