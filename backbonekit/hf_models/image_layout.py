"""Where the channels of an array are: first or last."""

from typing import Any

import numpy as np
from torch import Tensor

from backbonekit.errors import ContractError
from backbonekit.image_processing.pixels import ImageLike

_USUAL = (1, 3, 4)  # grey, RGB, with transparency
_FORMATS = ("channels_first", "channels_last")


def native_layout(image: ImageLike, input_data_format: Any = None) -> ImageLike:
    """NumPy arrays with channels last and tensors with channels first, as `ImageProcessor` reads them.

    `input_data_format`: "channels_first" or "channels_last"; None: where there are 1, 3 or 4 channels, and where both
    ends of the shape could be them, last in NumPy arrays and first in tensors. What is no array of three dimensions is
    left as it is.
    """
    if input_data_format is not None and input_data_format not in _FORMATS:
        raise ContractError(
            f"input_data_format={str(input_data_format)[:60]!r}: known are 'channels_first' and 'channels_last'."
        )
    if not isinstance(image, np.ndarray | Tensor) or image.ndim != 3:
        return image
    is_native_first = isinstance(image, Tensor)
    if input_data_format is None:
        native, other = (0, -1) if is_native_first else (-1, 0)
        turns = image.shape[native] not in _USUAL and image.shape[other] in _USUAL
    else:
        turns = is_native_first != (input_data_format == "channels_first")
    if not turns:
        return image
    if isinstance(image, Tensor):
        return image.movedim(-1, 0)
    return np.moveaxis(image, 0, -1)


def keeping_values(image: ImageLike) -> ImageLike:
    """Floats are read as the values that a model sees, without a division by 255. Raises ContractError for 16 bits."""
    if isinstance(image, Tensor) and image.is_floating_point():
        return image / 255
    if isinstance(image, np.ndarray) and image.dtype.kind == "f":
        return image / np.float32(255)
    if isinstance(image, np.ndarray | Tensor) and str(image.dtype).endswith("uint16"):
        raise ContractError("do_rescale=False keeps the values of 8 bits and of floats; 16 bits are read as [0, 1].")
    return image
