"""Segmentation maps as transformers' models take them: a label for each pixel, or a mask for each label that occurs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from backbonekit.contract.processing import Geometry
from backbonekit.contract.targets import IGNORE_LABEL
from backbonekit.errors import ContractError
from backbonekit.image_processing.targets import move_target, pad_target


def listed_maps(given: Any, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """One int64 [height, width] for each image. Raises ContractError where they do not go with the images."""
    if isinstance(given, Image.Image) or (isinstance(given, np.ndarray | Tensor) and given.ndim == 2):
        given = [given]
    listed: list[Any] = list(given)
    if len(listed) != len(sizes):
        raise ContractError(f"{len(sizes)} images and {len(listed)} segmentation maps were given; each has one.")
    if any(isinstance(one, Mapping) for one in listed):
        raise ContractError("segmentation maps are [height, width] of labels; boxes of objects go into `annotations`.")
    maps = [torch.as_tensor(np.array(one) if isinstance(one, Image.Image) else one).long() for one in listed]
    maps = [labels[0] if labels.ndim == 3 and labels.shape[0] == 1 else labels for labels in maps]
    for labels, size in zip(maps, sizes, strict=True):
        if tuple(labels.shape) != size:
            raise ContractError(
                f"a segmentation map has shape {list(labels.shape)}, its image {size[0]} x {size[1]} pixels; a map is"
                " [height, width] of its image."
            )
    return maps


def dense_labels(labels: Tensor, geometry: Geometry, *, do_reduce_labels: bool) -> Tensor:
    """int64 [*canvas], resized by its nearest pixel, cropped and padded (255) with its image.

    `do_reduce_labels`: 0 becomes 255, which is no class, and every label but 255 one less.
    """
    if do_reduce_labels:
        labels = torch.where((labels == 0) | (labels == IGNORE_LABEL), IGNORE_LABEL, labels - 1)
    padded = pad_target(move_target({"segmentation": labels}, geometry), geometry.canvas).get("segmentation")
    assert padded is not None
    return padded


def binary_masks(
    labels: Tensor,
    geometry: Geometry,
    classes: Mapping[int, int] | None,
    *,
    do_reduce_labels: bool,
    ignore_index: int | None,
) -> tuple[Tensor, Tensor]:
    """float [masks, *canvas] and int64 [masks], the labels in rising order, resized and padded with their image.

    `classes`: of each instance, where `labels` number instances. `ignore_index`: has no mask. `do_reduce_labels`: 0
    becomes `ignore_index`, which must then be given, and every other label one less.
    """
    if do_reduce_labels and ignore_index is None:
        raise ContractError("do_reduce_labels makes label 0 the ignored one. The fix: an ignore_index, such as 255.")
    moved = move_target({"segmentation": labels}, geometry).get("segmentation")
    assert moved is not None
    if do_reduce_labels:
        assert ignore_index is not None
        moved = torch.where(moved == 0, ignore_index, moved - 1)
    present = [label for label in moved.unique().tolist() if label != ignore_index]
    masks = moved[None] == torch.tensor(present, dtype=torch.int64)[:, None, None]
    height, width = moved.shape
    padded = functional.pad(masks.float(), (0, geometry.canvas[1] - width, 0, geometry.canvas[0] - height))
    if classes is None:
        return padded, torch.tensor(present, dtype=torch.int64)
    shift = int(do_reduce_labels)
    missing = [label + shift for label in present if label + shift not in classes]
    if missing:
        raise ContractError(f"instance_id_to_semantic_id has no class for instance {missing[0]}.")
    return padded, torch.tensor([classes[label + shift] - shift for label in present], dtype=torch.int64)
