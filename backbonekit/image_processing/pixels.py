"""Any kind of image as one array [height, width, channels], with the channels that the model takes."""

import math
import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.bands import MAX_VALUES
from backbonekit.image_processing.reading import open_image, upright
from backbonekit.image_processing.units import ValueRange, in_units

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor

_KINDS = "a file name, a Pillow image, a NumPy array [height, width(, channels)] or a tensor [channels, height, width]"
_GREY = ("1", "L", "LA", "La")
_SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_LAYOUTS = {
    False: "; NumPy arrays have channels last: array.transpose(1, 2, 0)",
    True: "; tensors have channels first: tensor.permute(2, 0, 1)",
}


def to_pixels(image: ImageLike, channels: int, value_range: ValueRange | None = None) -> np.ndarray:
    """[height, width, channels]: uint8 where the image has 8 bits, else float32.

    `value_range`: the processing's `range`; the values are then the image's own. Without it they are in [0, 1] (16 bits
    are divided by 65,535), but those of 8 bits, which are as they are.

    The image must have `channels`. Two conversions are made, and no channel is invented: a grey image is repeated for
    three channels, and colours become grey (ITU-R 601) for one. Transparency of a Pillow image is composed away over
    white, unless the model takes four channels and the image is RGBA. CMYK and palettes become RGB. Pillow images are
    turned upright by their EXIF note. Raises StorageError for a file, ContractError for what cannot be an image.
    """
    if isinstance(image, (str, os.PathLike)):
        image = open_image(image)
    if isinstance(image, Image.Image):
        pixels = _from_pillow(upright(image), channels)
    elif isinstance(image, Tensor):
        pixels = _channels_last(image)
    elif isinstance(image, np.ndarray):
        _check_count(image)
        pixels = image
    else:
        raise ContractError(f"an image is {_KINDS}; given: {type(image).__name__}.")
    if pixels.ndim not in (2, 3):
        raise ContractError(f"an image is {_KINDS}; given: an array of shape {_shape(pixels)}.")
    return _with_channels(in_units(pixels, value_range), channels, _LAYOUTS[isinstance(image, Tensor)])


def to_image(image: ImageLike, bands: Sequence[int] | None = None) -> Image.Image:
    """An upright RGB image to draw on.

    `bands`: the three channels to show as red, green and blue, or one to show as grey, counted from 0; None: the first
    three of an image that has other channels than 1 or 3. Values that are not colours are stretched to the range
    between the 2nd and the 98th hundredth of each band.
    """
    opened = open_image(image) if isinstance(image, (str, os.PathLike)) else image
    if isinstance(opened, Tensor):
        opened = _channels_last(opened)
    if isinstance(opened, np.ndarray):
        opened = _shown_bands(opened if opened.ndim != 2 else opened[..., None], bands)
    elif bands is not None:
        colours = np.asarray(opened if opened.mode in ("L", "RGB", "RGBA") else to_image(opened))
        opened = _shown_bands(colours if colours.ndim == 3 else colours[..., None], bands)
    if isinstance(opened, np.ndarray) and _needs_stretching(opened):
        opened = _stretched(opened)
    pixels = to_pixels(opened, 3)
    if pixels.dtype != np.uint8:
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(pixels)


def _check_count(image: np.ndarray | Tensor) -> None:
    # A broadcast array of any size takes no memory before it is prepared.
    count = math.prod(image.shape)
    if count > MAX_VALUES:
        raise ContractError(f"an image of {count:,} values is too large to be prepared; {MAX_VALUES:,} are the most.")


def size_of(image: Image.Image | np.ndarray) -> tuple[int, int]:
    """(height, width)."""
    return (image.height, image.width) if isinstance(image, Image.Image) else (image.shape[0], image.shape[1])


def is_grey(image: Image.Image | np.ndarray) -> bool:
    """Whether it has one channel, which a model of three is given three times."""
    if isinstance(image, Image.Image):
        return image.mode in (*_GREY, *_SIXTEEN_BITS, "F")
    return image.ndim == 2 or image.shape[-1] == 1


def channels_of(processing: Processing) -> int:
    """How many channels the model takes: one mean for each."""
    return len(processing.mean)


def _from_pillow(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode in _SIXTEEN_BITS:  # I is the mode of a 16-bit PNG in older Pillow
        return _whole_numbers(np.asarray(image), image.mode)
    if image.mode == "F" or (image.mode == "RGBA" and channels == 4):
        return np.asarray(image)
    try:
        if image.mode in ("P", "PA", "RGBA", "RGBa", "LA", "La") or "transparency" in image.info:
            colours = _composed(image)
        else:
            colours = image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
    except ValueError as error:
        raise ContractError(f"a Pillow image of mode {image.mode} cannot become RGB: {error}.") from error
    pixels = np.asarray(colours)
    return pixels[..., :1] if image.mode in _GREY and pixels.ndim == 3 else pixels


def _composed(image: Image.Image) -> Image.Image:
    """Over white, as a page shows it."""
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page.convert("RGB")


def _whole_numbers(array: np.ndarray, mode: str) -> np.ndarray:
    """Pillow's mode I is 32 bits wide, and holds 16 in most files, or the 8 of an array, which as 16 would be black."""
    if mode == "I" and array.size and array.min() >= 0 and array.max() <= np.iinfo(np.uint8).max:
        return array.astype(np.uint8)
    fits = not array.size or (array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max)
    return array.astype(np.uint16) if fits or mode != "I" else array


def _channels_last(image: Tensor) -> np.ndarray:
    if image.is_meta or image.layout is not torch.strided:
        kind = "has no values (device meta)" if image.is_meta else f"is not dense ({image.layout})"
        raise ContractError(f"a tensor that {kind} is no image.")
    _check_count(image)
    image = image.detach().cpu()
    if image.dtype in (torch.bfloat16, torch.float16):
        image = image.float()
    return (image.movedim(0, -1) if image.ndim == 3 else image).numpy()


def _with_channels(pixels: np.ndarray, channels: int, layout: str) -> np.ndarray:
    if 0 in pixels.shape:
        raise ContractError(f"an image has at least one pixel; given: height, width, channels {_shape(pixels)}.")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    given = pixels.shape[-1]
    if given == channels:
        return pixels
    if channels == 3 and given == 1:
        return np.repeat(pixels, 3, axis=-1)
    if channels == 1 and given == 3:
        return _grey(pixels)
    hint = layout if channels in pixels.shape[:2] else ""
    fix = f"a model for it is built by backbone.in_channels={given}"
    if (given, channels) == (4, 3):
        fix += (
            ". Is the fourth one transparency: image[..., :3], or a Pillow image, whose transparency is composed away"
        )
    raise ContractError(
        f"the model takes {channels} channels, and this image has {given} (height, width, channels: {_shape(pixels)})"
        f"{hint}. No channel is invented or left out. The fix: an image of {channels}; {fix}."
    )


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    # ITU-R BT.601 luma, the weights that Pillow uses for 8 bits
    return (pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]


def _shown_bands(pixels: np.ndarray, bands: Sequence[int] | None) -> np.ndarray:
    count = pixels.shape[-1]
    if bands is None:
        bands = range(count) if count in (1, 3) else [0, min(1, count - 1), min(2, count - 1)]
    if len(bands) not in (1, 3) or not all(0 <= band < count for band in bands):
        raise ContractError(f"bands={list(bands)}: one or three of the image's {count} bands, counted from 0.")
    return pixels[..., list(bands)]


def _needs_stretching(pixels: np.ndarray) -> bool:
    if not pixels.size or pixels.dtype in (np.dtype(np.uint8), np.dtype(bool)):
        return False
    return pixels.dtype != np.uint16 and not (np.nanmin(pixels) >= 0 and np.nanmax(pixels) <= 1)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(pixels.astype(np.float32))
    low, high = np.percentile(values, (2, 98), axis=(0, 1))
    return ((values - low) / np.maximum(high - low, 1e-6)).clip(0, 1).astype(np.float32)


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
