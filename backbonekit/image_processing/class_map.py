"""A segmentation as people store it: a file's indices, an array or a tensor, with the labels of the data set."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backbonekit.errors import ContractError

_INDEXED_MODES = (
    "P",
    "L",
    "I",
    "I;16",
    "F",
    "1",
)  # one number a pixel; P: its index in the palette


def class_map(given: Any) -> Tensor:
    """int64 [height, width]. `given`: a tensor, an array, nested lists, or a Pillow image, of a palette image its
    indices.

    Raises ContractError for colours, which name no class, and for numbers that are not whole.
    """
    if isinstance(given, Image.Image):
        if given.mode not in _INDEXED_MODES:
            raise ContractError(
                f"segmentation is a Pillow image of mode {given.mode}: colours, no numbers of classes. {_COLOURS_FIX}"
            )
        given = np.array(given)
    labels = given if isinstance(given, Tensor) else torch.as_tensor(_signed(np.asarray(given)))
    if labels.ndim == 3 and 1 in (labels.shape[0], labels.shape[-1]):
        labels = labels[0] if labels.shape[0] == 1 else labels[..., 0]
    if labels.ndim == 3 and {3, 4} & {labels.shape[0], labels.shape[-1]}:
        raise ContractError(
            f"segmentation has shape {list(labels.shape)}: colours, no numbers of classes. {_COLOURS_FIX}"
        )
    if labels.is_floating_point() and not torch.equal(labels, labels.round()):
        raise ContractError(
            "segmentation holds numbers that are not whole; each pixel has the number of its class. Labels must not be "
            "interpolated: resize them by their nearest pixel (the processor does)."
        )
    return labels.to(torch.int64)


def _signed(array: np.ndarray) -> np.ndarray:
    """torch has no arithmetic for unsigned numbers of 16 and more bits."""
    return array.astype(np.int64) if array.dtype.kind == "u" else array


_COLOURS_FIX = (
    "The fix: the map of class indices, [height, width] (a palette PNG opened by Pillow, mode P, has them), or one "
    "label for each colour before it comes here."
)
