"""Any kind of image as one array: [height, width, channels], uint8, or float32 in [0, 1]."""

import os

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.reading import open_image, upright

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor

_KINDS = "a file name, a Pillow image, a NumPy array [height, width(, channels)] or a tensor [channels, height, width]"
_LIMIT_16_BIT = 65_535
# A bicubic augmentation overshoots [0, 1] a little; 0..255 as float, or a normalised image, does so a lot.
_FLOAT_SLACK = 0.1


def to_pixels(image: ImageLike, channels: int) -> np.ndarray:
    """[height, width, channels]: uint8 where the image has 8 bits, else float32 in [0, 1] (16 bits are divided by
    65,535).

    `channels` 3: grey images are repeated, transparency is dropped, CMYK and palettes are converted. `channels` 1:
    colours become grey (ITU-R 601). Any other number: the image must have it. Pillow images are turned upright by
    their EXIF note. Raises StorageError for a file, ContractError for an array that cannot be an image.
    """
    if isinstance(image, (str, os.PathLike)):
        pixels = _from_pillow(open_image(image), channels)
    elif isinstance(image, Image.Image):
        pixels = _from_pillow(upright(image), channels)
    elif isinstance(image, Tensor):
        pixels = _from_array(_channels_last(image), channels)
    elif isinstance(image, np.ndarray):
        pixels = _from_array(image, channels)
    else:
        raise ContractError(f"an image is {_KINDS}; given: {type(image).__name__}.")
    return _with_channels(pixels, channels)


def to_image(image: ImageLike) -> Image.Image:
    """An upright RGB image to draw on. Of an image with other channels than 1, 3 or 4, the first three are shown."""
    if isinstance(image, (np.ndarray, Tensor)) and image.ndim == 3:
        count = image.shape[0] if isinstance(image, Tensor) else image.shape[-1]
        if count not in (1, 3, 4):
            shown = [0, min(1, count - 1), min(2, count - 1)]
            image = image[shown] if isinstance(image, Tensor) else image[..., shown]
    pixels = to_pixels(image, 3)
    if pixels.dtype != np.uint8:
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(pixels)


def channels_of(processing: Processing) -> int:
    """How many channels the model takes: one mean for each."""
    return len(processing.mean)


def _from_pillow(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode.startswith("I"):  # I;16 in its byte orders, and I, as which older Pillow reads 16-bit PNG
        return _from_integers(np.asarray(image), image.mode)
    if image.mode == "F":
        return _from_array(np.asarray(image), channels)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")  # a transparent palette cannot go to RGB directly without Pillow's complaint
    mode = {1: "L", 4: "RGBA"}.get(channels, "RGB")
    if channels == 3 and image.mode in ("L", "LA", "1"):
        mode = "L"  # repeated later, after the resize
    try:
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except ValueError as error:
        raise ContractError(f"a Pillow image of mode {image.mode} cannot become {mode}: {error}.") from error


def _from_array(array: np.ndarray, channels: int) -> np.ndarray:
    if array.ndim not in (2, 3):
        raise ContractError(f"an image is {_KINDS}; given: an array of shape {_shape(array)}.")
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return _from_integers(array, "uint16")
    if array.dtype.kind != "f":
        raise ContractError(
            f"an image of dtype {array.dtype} has no known range; give uint8 (0..255), "
            "uint16 (0..65535) or float (0..1)."
        )
    floats = array.astype(np.float32)
    if not floats.size:
        return floats
    low, high = float(floats.min()), float(floats.max())
    if not np.isfinite(floats).all():
        raise ContractError("a float image must be finite; this one has NaN or infinity in it.")
    # Measurements in other channels than colours may lie outside; the recipe's mean and std are in their units.
    if channels in (1, 3, 4) and (low < -_FLOAT_SLACK or high > 1 + _FLOAT_SLACK):
        raise ContractError(
            f"a float image lies in [0, 1]; this one in [{low:g}, {high:g}]. Give uint8, divide by 255, or pass what "
            "is already normalised to the model (or to `collate`) directly."
        )
    return floats


def _from_integers(array: np.ndarray, kind: str) -> np.ndarray:
    if array.size and (array.min() < 0 or array.max() > _LIMIT_16_BIT):
        raise ContractError(f"an image of kind {kind} must lie in 0..65535; this one in {array.min()}..{array.max()}.")
    return array.astype(np.float32) / _LIMIT_16_BIT


def _channels_last(image: Tensor) -> np.ndarray:
    image = image.detach().cpu()
    if image.dtype in (torch.bfloat16, torch.float16):
        image = image.float()
    return (image.movedim(0, -1) if image.ndim == 3 else image).numpy()


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    if 0 in pixels.shape:
        raise ContractError(f"an image has at least one pixel; given: height, width, channels {_shape(pixels)}.")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    given = pixels.shape[-1]
    if given == channels:
        return pixels
    if channels == 3 and given == 1:
        return np.repeat(pixels, 3, axis=-1)
    if channels == 3 and given == 4:
        return pixels[..., :3]
    if channels == 1 and given in (3, 4):
        return _grey(pixels[..., :3])
    layout = "; NumPy arrays have channels last" if channels in pixels.shape[:2] else ""
    raise ContractError(
        f"the model takes {channels} channels (one mean for each); this image has {given} "
        f"(height, width, channels: {_shape(pixels)}){layout}."
    )


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    # ITU-R BT.601 luma, the weights that Pillow uses for 8 bits
    return (pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
