"""Boxes from the canvas to the image as it was given."""

import torch
from torch import Tensor

from backbonekit.contract.processing import Geometry


def within_shown(boxes_xyxy: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in pixels of the canvas, cut to where the image is."""
    return torch.minimum(boxes_xyxy.clamp(min=0), _pair(geometry.shown, boxes_xyxy))


def on_original(boxes_xyxy: Tensor, geometry: Geometry) -> Tensor:
    """[N, 4] in pixels of the canvas -> in pixels of the original image, cut to it."""
    scale = _pair(geometry.original, boxes_xyxy) / _pair(geometry.resized, boxes_xyxy)
    boxes = (boxes_xyxy + _pair(geometry.crop_offset, boxes_xyxy)) * scale
    return torch.minimum(boxes.clamp(min=0), _pair(geometry.original, boxes_xyxy))


def _pair(size: tuple[int, int], like: Tensor) -> Tensor:
    """(height, width) -> width, height, width, height."""
    return like.new_tensor([size[1], size[0], size[1], size[0]])
