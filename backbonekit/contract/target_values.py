"""Whether boxes and keypoints can be in pixels of their image: inverted, relative and outside ones are refused.

On the CPU alone: on an accelerator reading the values would stop the pipeline at every step. Targets are on the CPU
where they enter, in the processor.
"""

import torch
from torch import Tensor

from backbonekit.errors import ContractError

# Boxes within one pixel of an image that is no thumbnail are relative ones.
_SMALLEST_SIDE = 8


def check_boxes(boxes_xyxy: Tensor, size: tuple[int, int], *, image: int) -> None:
    """Raises ContractError for a box [N, 4] that is inverted, not finite, or wholly outside `size` (height, width), and
    for boxes that all lie within the first pixel, which are relative. `image`: its index in the batch."""
    if boxes_xyxy.ndim != 2 or boxes_xyxy.shape[-1] != 4:
        raise ContractError(f"targets[{image}]: boxes have the shape {list(boxes_xyxy.shape)}; they are [N, 4].")
    if not _is_readable(boxes_xyxy) or not len(boxes_xyxy):
        return
    start, end = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    if min(size) >= _SMALLEST_SIDE and _are_relative(boxes_xyxy):
        raise ContractError(
            f"targets[{image}]: boxes[0] is {_shown(boxes_xyxy[0])}, and all boxes lie in 0..1: they are relative. "
            f"A box is x0, y0, x1, y1 in pixels. The fix: multiply by the image's width and height, "
            f"{size[1]} and {size[0]}."
        )
    is_valid = (end >= start).all(1) & boxes_xyxy.isfinite().all(1)  # False for NaN
    if not is_valid.all():
        index = int((~is_valid).nonzero()[0])
        raise ContractError(
            f"targets[{image}]: boxes[{index}] is {_shown(boxes_xyxy[index])}; a box is x0, y0, x1, y1 in pixels with "
            f"x0 <= x1 and y0 <= y1. From x, y, width, height (COCO): "
            f"torchvision.ops.box_convert(boxes, 'xywh', 'xyxy')."
        )
    limits = boxes_xyxy.new_tensor([size[1], size[0]])
    is_outside = ((start >= limits) | (end <= 0)).any(1) & (end > start).all(1)
    if is_outside.any():
        index = int(is_outside.nonzero()[0])
        raise ContractError(
            f"targets[{image}]: boxes[{index}] is {_shown(boxes_xyxy[index])}, outside its image of {size[0]} x "
            f"{size[1]} pixels (height x width). A box is x0, y0, x1, y1 in pixels of the image that is given; leave "
            f"out objects that it does not show."
        )


def check_keypoints(keypoints: Tensor, size: tuple[int, int], *, image: int) -> None:
    """Raises ContractError for keypoints [N, K, 3] of which all annotated ones of an object are outside `size` (height,
    width) or not finite, or all lie within the first pixel, which are relative."""
    if not _is_readable(keypoints) or keypoints.ndim != 3 or keypoints.shape[-1] != 3:
        return
    annotated = keypoints[..., 2] > 0
    points = keypoints[..., :2]
    given = points[annotated]
    # One point alone may lie in the first pixel.
    if len(given) > 1 and min(size) >= _SMALLEST_SIDE and bool(((given >= 0) & (given <= 1)).all() & (given > 0).any()):
        raise ContractError(
            f"targets[{image}]: all keypoints lie in 0..1, as {_shown(given[0])}: they are relative. Keypoints are x, "
            f"y in pixels and visibility. The fix: multiply x by {size[1]} and y by {size[0]}."
        )
    outside = annotated & ~are_inside(points, size)
    lost = annotated.any(1) & (outside == annotated).all(1)
    if lost.any():
        index = int(lost.nonzero()[0])
        first = points[index][annotated[index]][0]
        raise ContractError(
            f"targets[{image}]: all annotated keypoints of object {index}, as {_shown(first)}, are outside its image "
            f"of {size[0]} x {size[1]} pixels (height x width). Keypoints are x, y in pixels of the image that is "
            f"given, and visibility (0: not annotated)."
        )


def check_relative(boxes_cxcywh: Tensor, *, image: int) -> None:
    """Raises ContractError for transformers' boxes [N, 4] that are not centre and size, relative to the image. One that
    extends beyond the image is legal."""
    if not _is_readable(boxes_cxcywh) or not len(boxes_cxcywh):
        return
    centres, sizes = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:]
    is_valid = ((centres >= 0) & (centres <= 1) & (sizes >= 0) & (sizes <= 2)).all(1)  # False for NaN
    if not is_valid.all():
        index = int((~is_valid).nonzero()[0])
        raise ContractError(
            f"labels of image {image}: boxes[{index}] is {_shown(boxes_cxcywh[index])}; beside class_labels a box is "
            "transformers': centre x, centre y, width, height, in 0..1 of the image. The fix: divide by the image's "
            "size; or, in the targets of a model of backbonekit's own, call the classes labels: there boxes are x0, "
            "y0, x1, y1 in pixels."
        )


def are_inside(points: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [...]: whether points [..., 2], x and y, are on an image of `size` (height, width); False for NaN."""
    x, y = points[..., 0], points[..., 1]
    return (x >= 0) & (x <= size[1]) & (y >= 0) & (y <= size[0])


def _are_relative(boxes: Tensor) -> bool:
    within = (boxes >= 0) & (boxes <= 1)
    return bool(within.all() & (boxes[:, 2:] != boxes[:, :2]).any())


def _is_readable(tensor: Tensor) -> bool:
    is_fake = isinstance(tensor, torch._subclasses.FakeTensor)
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not is_fake


def _shown(values: Tensor) -> str:
    return f"[{', '.join(f'{value:g}' for value in values.tolist())}]"
